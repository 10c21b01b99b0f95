"""Which model answers which row."""

import hashlib
from collections.abc import Sequence

from gateway.domain.model import Column
from gateway.domain.plans import EndpointPlan, Route


def _share(text: str) -> int:
    """A stable number 0 to 99 of a text; the same in every process and release."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 100


def _pick(routes: Sequence[Route], share: int) -> int:
    for index, route in enumerate(routes):
        share -= route.weight
        if share < 0:
            return index
    return len(routes) - 1


def route_rows(plan: EndpointPlan, entities: dict[str, Column], rows: int, request_id: str) -> bytes:
    """Index into `plan.routes`, one byte a row; empty when all rows take the only route.

    With a sticky key each row goes by its own entity, so one entity is always answered by one model; without, the whole
    request goes one way.
    """
    if len(plan.routes) == 1:
        return b""
    if plan.sticky_key is None:
        return bytes([_pick(plan.routes, _share(request_id))]) * rows
    column = entities[plan.sticky_key]
    keys = column.strings if column.strings is not None else _whole(column)
    return bytes(_pick(plan.routes, _share(f"{plan.name}\x00{key}")) for key in keys)


def _whole(column: Column) -> list[str]:
    size = len(column.raw) // column.rows
    return [
        str(int.from_bytes(column.raw[row * size : row * size + size], "little", signed=True))
        for row in range(column.rows)
    ]
