"""Inbound edge: gRPC."""
