"""Refusals by a head alone: what is made once for a path is not made again for each query."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from gateway.api.http.dialects import MIZZEN, Dialect
from gateway.api.http.dispatch import Node, PathTree
from gateway.api.http.turning_away import TurningAway


@dataclass(frozen=True, slots=True)
class Path:
    method: str = "POST"
    template: str = "/v1/endpoints/{name}:predict"
    place: str | None = "{name}"
    dialect: Dialect = MIZZEN


class Counted(PathTree[Path]):
    """Counts how often a path is looked up."""

    found = 0

    def find(self, raw_path: bytes) -> tuple[Node[Path], Mapping[str, str]] | None:
        self.found += 1
        return super().find(raw_path)


def test_a_query_makes_no_refusal_of_its_own() -> None:
    edge: Any = SimpleNamespace(refuses=True, refused=lambda place: f"at {place}", new_id=lambda: "the-id")
    tree = Counted([Path()])
    counted: list[tuple[str, int]] = []
    turn_away = TurningAway(tree, edge, [], lambda _method, template, status, _s: counted.append((template, status)))
    answers = {turn_away(b"POST", b"/v1/endpoints/late:predict?n=%d" % n, []) for n in range(20)}
    assert (len(answers), tree.found) == (1, 1)
    assert answers == {turn_away(b"POST", b"/v1/endpoints/late:predict", [])}
    assert counted == [(Path().template, 429)] * 21
