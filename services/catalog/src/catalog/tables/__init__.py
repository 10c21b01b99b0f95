"""Registered tables under the offline root: where their files lie, and what SQL over them gives."""
