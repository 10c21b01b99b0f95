"""Where definitions are read from, and where their conditions are written."""
