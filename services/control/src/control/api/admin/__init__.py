"""The admin API: HTTP with JSON, on a port of its own."""
