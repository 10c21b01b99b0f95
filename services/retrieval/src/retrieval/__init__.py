"""Documents, hybrid search and cited answers."""
