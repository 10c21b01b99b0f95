"""Collections: search, ask, documents."""
