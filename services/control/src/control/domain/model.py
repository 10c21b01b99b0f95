"""What the control plane speaks of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ADMIN = "admin"
"""The scope of the admin API. `*` stands for the data plane's scopes and does not hold it."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Who calls the admin API, and the id of this call, which its answer and the audit log carry."""

    subject: str
    tenant: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, known by its hash. Instants are microseconds UTC; `expires_us` None: never."""

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    hash: str
    created_us: int
    created_by: str
    expires_us: int | None = None
    revoked_us: int | None = None
    revoked_by: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """What an admin asks for."""

    tenant: str
    name: str
    scopes: tuple[str, ...]
    expires_us: int | None


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys in force under an opaque version; `keys` is None where the caller has this version already."""

    version: str
    keys: tuple[Key, ...] | None


class Outcome(StrEnum):
    """What became of a change. BEGUN alone: control ended in the middle, and the change was made or not."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the audit log: who did what to which object, and what became of it.

    id: a UUIDv7, the request's own for its first change; entries are in order of it. `object` is `key TENANT/NAME` or `KIND/NAME`.
    """

    id: str
    request_id: str
    at_us: int
    tenant: str
    subject: str
    action: str
    object: str
    outcome: Outcome
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as it is stored. `revision` changes with every change of it.

    `text` is its YAML with comments; None where the store keeps the manifest alone.
    """

    kind: str
    name: str
    revision: str
    manifest: Mapping[str, Any]
    text: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a definition. `line` counts from 1 in the text that was sent; 0 where the fault is in no line."""

    line: int
    kind: str
    name: str
    field: str
    reason: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.line else f"{self.kind} {self.name}".strip()
        return ": ".join(part for part in (place, self.field, self.reason) if part)


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition that an admin sends. `revision`: it is only taken where this one is stored; None takes it anyway."""

    kind: str
    name: str
    manifest: Mapping[str, Any]
    text: str
    revision: str | None
    source: object
    """What the adapter made of it."""

    def is_as(self, stored: Definition) -> bool:
        """Whether putting it would change nothing."""
        return self.manifest == stored.manifest and stored.text in (None, self.text)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one definition: `created`, `changed`, `unchanged`, or `removed`."""

    kind: str
    name: str
    effect: str
    revision: str
