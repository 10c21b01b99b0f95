"""The port: definitions as they are stored now, and how one is put or removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from catalog.found import Found
from chassis.errors import Aborted


@dataclass(frozen=True, slots=True)
class Stored:
    """A definition as it is stored.

    revision: changes with every change of it; a writer that is given an older one refuses.
    manifest: the object as its author wrote it, without what a server adds.
    text: its YAML with comments; None where the store keeps the object alone.
    """

    found: Found
    revision: str
    manifest: Mapping[str, Any]
    text: str | None

    @property
    def kind(self) -> str:
        return self.found.definition.kind

    @property
    def name(self) -> str:
        return self.found.definition.metadata.name


class DefinitionWriter(Protocol):
    """Puts and removes definitions. It does not judge them: who calls it has examined what it is given.

    Raises Aborted where `revision` is not the stored one, FailedPrecondition where a definition cannot be changed here, and
    Unavailable or PermissionDenied where the store does not let it.
    """

    async def stored(self) -> list[Stored]:
        """Every definition that can be read, by kind and name."""

    async def put(self, found: Found, revision: str | None = None) -> Stored:
        """Creates or replaces the definition of `found.text`. `revision`: it is only replaced where it is still this one."""

    async def remove(self, kind: str, name: str, revision: str | None = None) -> bool:
        """Whether it was there."""

    async def close(self) -> None:
        """Lets go of what writing needed."""


def check_revision(kind: str, name: str, stored: Stored | None, wanted: str | None) -> None:
    """Aborted where the stored definition is not the one that the caller knows."""
    if wanted is not None and (stored is None or stored.revision != wanted):
        now = "is not there any more" if stored is None else f"is at revision {stored.revision} now"
        raise Aborted(f"{kind} {name} {now}: read it again and repeat the change", reason="REVISION_CHANGED")
