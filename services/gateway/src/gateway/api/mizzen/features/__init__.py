"""Online feature reads."""
