"""Labels in, reports out."""
