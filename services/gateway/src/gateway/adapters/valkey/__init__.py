"""Valkey: the record stream and first answers of writes."""
