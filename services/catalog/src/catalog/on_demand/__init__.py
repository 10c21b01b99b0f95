"""On-demand SQL: the allow-list, read and typed. What its expressions mean in NumPy is the features room's."""

from catalog.on_demand.parse import ALLOWED, MAX_CHARACTERS, OnDemandRefused, parse_on_demand
from catalog.on_demand.term import KINDS, Kind, Op, Term

__all__ = ["ALLOWED", "KINDS", "MAX_CHARACTERS", "Kind", "OnDemandRefused", "Op", "Term", "parse_on_demand"]
