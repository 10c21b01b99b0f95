"""Conditions of a definition, what `kubectl get` and `kubectl describe` show of it: first of all `Accepted`."""

from datetime import UTC, datetime
from typing import Any

from catalog.kinds.table import BY_NAME
from catalog.snapshot import Catalog

ACCEPTED = "Accepted"
Json = dict[str, Any]


def desired_conditions(item: Json, catalog: Catalog, now: datetime) -> list[Json] | None:
    """The conditions that `item` (an object of ours) should have by `catalog`; None when it has them."""
    metadata = item["metadata"]
    kind, name = item["kind"], metadata["name"]
    status, reason, message = _verdict(kind, name, catalog)
    wanted: Json = {
        "type": ACCEPTED,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": metadata.get("generation", 0),
    }
    return with_condition(item, wanted, now)


def with_condition(item: Json, wanted: Json, now: datetime) -> list[Json] | None:
    """The conditions of `item` with `wanted` (without lastTransitionTime) among them; None when it is there as it is."""
    present: list[Json] = (item.get("status") or {}).get("conditions") or []
    before: Json = next((each for each in present if each.get("type") == wanted["type"]), {})
    if all(before.get(key) == value for key, value in wanted.items()):
        return None
    changed = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    since = before["lastTransitionTime"] if before.get("status") == wanted["status"] else changed
    return [*(each for each in present if each.get("type") != wanted["type"]), {**wanted, "lastTransitionTime": since}]


def _verdict(kind: str, name: str, catalog: Catalog) -> tuple[str, str, str]:
    """(status, reason, message)."""
    errors = [error for error in catalog.errors if (error.kind, error.name) == (kind, name)]
    if not errors:
        return "True", "Accepted", "in use"
    faults = "; ".join(f"{error.field}: {error.says}" if error.field else error.says for error in errors)
    if all(error.missing_reference for error in errors):
        rest = "the definition before it keeps serving" if _serves(name, catalog) else "requests fail"
        return "False", "ReferenceMissing", f"{faults}; {rest} until it is there"
    known_kind = BY_NAME[kind]
    serves = known_kind.key(name) in catalog.of(known_kind)
    rest = "the definition before it keeps serving" if serves else "nothing serves under this name"
    return "False", "Invalid", f"{faults}; {rest}"


def _serves(endpoint: str, catalog: Catalog) -> bool:
    """Whether the endpoint in the catalog, then the one of before, has all its columns."""
    try:
        return bool(catalog.schema_hash(endpoint))
    except KeyError:
        return False
