"""Outside of control: PostgreSQL and the definitions."""
