"""Answers to calls that admission refuses, by a head alone: at three times the peak they are most of what a second brings."""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from chassis.errors import MizzenError
from chassis.public.http_bounds import Headers, rendered
from chassis.public.problem import status_of
from gateway.api.edge import Edge
from gateway.api.http.dialects import Dialect
from gateway.api.http.dispatch import PathTree, Row
from gateway.domain.admission import refusal

_TARGETS, _LONG = 1024, 512
_ANY_ID = "00000000-0000-7000-8000-000000000000"


class Placed(Row, Protocol):
    """A row of the table that may have an admission limit of its own."""

    @property
    def place(self) -> str | None:
        """Made of the path's parameters: `model/{model}`."""

    @property
    def dialect(self) -> Dialect:
        """How errors look there."""


P = TypeVar("P", bound=Placed)


class _Asked(NamedTuple):
    place: str
    template: str
    dialect: Dialect
    answers: dict[str, tuple[int, list[bytes]]]
    """By reason: status, and the answer's bytes before, between and after the places of the request id."""


class TurningAway(Generic[P]):
    """See chassis.public.http_bounds.TurnAway: what a call is told that admission refuses, while that refuses any.

    Neither the key nor the body is looked at. A page's request goes the long way, as its answer needs more headers.
    """

    def __init__(
        self, tree: PathTree[P], edge: Edge, common: Headers, observe: Callable[[str, str, int, float], None]
    ) -> None:
        """`common`: headers that every answer carries; `observe(method, template, status, seconds)` counts one."""
        self._tree = tree
        self._edge = edge
        self._common = common
        self._observe = observe
        self._asked: dict[bytes, _Asked] = {}

    def __call__(self, method: bytes, target: bytes, headers: Headers) -> tuple[int, bytes] | None:
        """Status and what follows the status line."""
        if method != b"POST" or not self._edge.refuses:
            return None
        raw_path = target.partition(b"?")[0]  # a query changes no refusal, and there is no end of them
        asked = self._asked.get(raw_path) or self._look_up(raw_path)
        if asked is None or any(name == b"origin" for name, _ in headers):
            return None
        reason = self._edge.refused(asked.place)
        if reason is None:
            return None
        answer = asked.answers.get(reason)
        if answer is None:
            answer = asked.answers[reason] = self._answer(asked, reason)
        status, around = answer
        self._observe("POST", asked.template, status, 0.0)
        return status, self._edge.new_id().encode().join(around)

    def _answer(self, asked: _Asked, reason: str) -> tuple[int, list[bytes]]:
        error = refusal(asked.place, reason)
        answer = rendered(*asked.dialect.answer_to(error, _ANY_ID, self._common))
        return status_of(error), answer.split(_ANY_ID.encode())

    def _look_up(self, raw_path: bytes) -> _Asked | None:
        try:
            found = self._tree.find(raw_path)
        except MizzenError:
            return None
        path = None if found is None else found[0].rows.get("POST")
        if found is None or path is None or path.place is None:
            return None
        if len(self._asked) >= _TARGETS:  # anybody can make them up
            self._asked.clear()
        asked = _Asked(path.place.format_map(found[1]), path.template, path.dialect, {})
        if len(raw_path) <= _LONG:
            self._asked[raw_path] = asked
        return asked
