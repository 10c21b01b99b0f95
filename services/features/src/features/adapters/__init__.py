"""Outbound edge: Valkey, DuckDB, the catalog."""
