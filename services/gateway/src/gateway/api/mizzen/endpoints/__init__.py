"""Endpoints: what can be predicted, and predict."""
