"""PostgreSQL, for the rooms that keep something there."""
