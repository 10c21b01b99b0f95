"""What admins can do, and the record of it."""
