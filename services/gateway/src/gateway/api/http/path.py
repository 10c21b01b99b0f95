"""A row of the table of public REST paths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from chassis.public.browsers import JSON_ONLY
from gateway.api.http.dialects import MIZZEN, Dialect
from gateway.api.http.request import Handler

Deadline = Callable[[Mapping[str, str]], float]


@dataclass(frozen=True, slots=True)
class Path:
    """One method on one path; `template` is what documents show. The handler's docstring is its summary.

    scope: what an API key must allow; None is open to everybody, without a call.
    deadline_s: seconds that a request has which brings no timeout of its own, or what says so of the path's parameters.
    answer, body: the models of 200 and of the request. The handler gets the body as its model, but where `is_hot`: such a
    path has a parser of its own.
    query: name → description of the parameters there are, all others being refused; None where a query is not looked at.
    dialect: whose protocol it is, which says how errors look.
    idempotent: whether an Idempotency-Key is kept.
    examples: asked when documents are shown: the first parameter's value → a body that works for it.
    place: what has an admission limit of its own, made of the path's parameters: `model/{model}`.
    media: types that a body may be of; an empty one lets it say nothing.
    """

    method: str
    template: str
    handler: Handler
    grpc: str
    scope: str | None
    deadline_s: float | Deadline = 0.0
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    query: Mapping[str, str] | None = None
    dialect: Dialect = MIZZEN
    is_hot: bool = False
    idempotent: bool = False
    examples: Callable[[], Mapping[str, Any]] | None = None
    place: str | None = None
    media: frozenset[bytes] = JSON_ONLY

    def seconds(self, params: Mapping[str, str]) -> float:
        """The deadline of a request with these parameters that brings no timeout of its own."""
        return self.deadline_s if isinstance(self.deadline_s, float) else self.deadline_s(params)

    def place_of(self, params: Mapping[str, str]) -> str | None:
        """What has an admission limit of its own, if something has."""
        return None if self.place is None else self.place.format_map(params)

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]
