"""One process that starts the children of a plan, starts dead ones again, and drains them all at the end.

It knows nothing of engines and services: only `ChildSpec`. It is steered by signals (TERM: drain, HUP: read the plan
again) and answers through a status file.
"""
