"""What control needs from outside. Adapters implement these; fakes pass the same contract suites."""

from collections.abc import Sequence
from typing import Protocol

from control.domain.model import Change, Definition, Draft, Fault, Key, KnownKeys, Outcome


class Clock(Protocol):
    """Time, injected."""

    def now_us(self) -> int:
        """UTC wall time, µs since 1970."""


class Ids(Protocol):
    """Where ids come from."""

    def new(self) -> str:
        """A UUIDv7: unique and in order of time."""


class Keys(Protocol):
    """API keys by id. A change of one and its entry in the audit log are stored together or not at all.

    Raises Unavailable where the database cannot be reached.
    """

    async def add(self, key: Key, change: Change) -> None:
        """AlreadyExists where a key of this tenant and name is in force."""

    async def revoke(self, key_id: str, change: Change) -> tuple[Key, bool] | None:
        """The key, and whether it was in force until now: one that was revoked before stays as it was. None where there is none."""

    async def get(self, key_id: str) -> Key | None:
        """The key, a revoked one too."""

    async def page(self, tenant: str, *, revoked: bool, after: str, limit: int) -> list[Key]:
        """Keys of a tenant (empty: of all), oldest first, after this id; with `revoked`, those that are revoked too."""

    async def known(self, version: str) -> KnownKeys:
        """Those in force, unless `version` says that the caller knows them."""

    async def by_hash(self, hashed: str) -> Key | None:
        """The key in force that has this hash."""


class AuditLog(Protocol):
    """Entries are only ever added. Raises Unavailable where the database cannot be reached."""

    async def append(self, change: Change) -> None:
        """Adds an entry; a second one of the same id says how the change ended."""

    async def page(self, *, object_: str, subject: str, before: str, limit: int) -> list[Change]:
        """Changes, the latest first, with the outcome that is known last, before this id; empty texts ask for all."""


class Definitions(Protocol):
    """The definitions in force.

    Raises Aborted where another change was faster, FailedPrecondition where one cannot be changed here, and Unavailable or
    PermissionDenied where the store does not let it.
    """

    def parse(self, text: bytes) -> tuple[list[Draft], list[Fault]]:
        """The definitions of a YAML or JSON text, and all that is wrong with it."""

    async def examine(self, drafts: Sequence[Draft], removed: Sequence[Definition] = ()) -> list[Fault]:
        """What would be wrong with these put and those removed that is not wrong now."""

    async def stored(self) -> list[Definition]:
        """All there are, by kind and name."""

    async def put(self, draft: Draft) -> str:
        """The new revision."""

    async def remove(self, kind: str, name: str, revision: str | None) -> bool:
        """Whether it was there."""


class Hasher(Protocol):
    """Makes keys and their hashes."""

    def new_key(self) -> str:
        """A key that nobody can guess."""

    def hash(self, key: str) -> str:
        """What is stored of a key."""

    def is_admins(self, key: str) -> bool:
        """Whether it is the installation's own admin key."""


class Metrics(Protocol):
    """What is counted."""

    def changed(self, action: str, outcome: Outcome) -> None:
        """A change ended."""

    def refused(self, reason: str) -> None:
        """A call had no right to the admin API."""

    def keys_read(self, count: int | None) -> None:
        """A gateway was told as many keys, or None that nothing changed."""
