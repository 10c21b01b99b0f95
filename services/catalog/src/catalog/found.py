"""What reading definitions gives: definitions with their places, and what is wrong with them."""

from dataclasses import dataclass, field

import yaml

from catalog.fields import Location
from catalog.kinds.table import AnyDefinition
from catalog.yaml_text import dotted, line_of


@dataclass(frozen=True, slots=True)
class DefinitionError:
    """One thing that is wrong with one definition, and how to mend it (`fix`, which may be empty)."""

    file: str
    line: int
    field: str
    reason: str
    kind: str = ""
    name: str = ""
    missing_reference: bool = False  # the definition itself is right, and what it refers to is not there
    fix: str = ""

    def __str__(self) -> str:
        """`file:line: field: reason: fix`."""
        place = f"{self.file}:{self.line}" if self.file else f"{self.kind} {self.name}"
        return f"{place}: {self.field}: {self.says}" if self.field else f"{place}: {self.says}"

    @property
    def says(self) -> str:
        """`reason: fix`."""
        return f"{self.reason}: {self.fix}" if self.fix else self.reason


@dataclass(frozen=True, slots=True)
class Found:
    """A definition and where it stands. `text` is a YAML document of this one definition, as its author wrote it."""

    definition: AnyDefinition
    file: str = ""
    line: int = 0
    text: str = ""
    node: yaml.Node | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> str:
        """`file:line`; empty for an object of the Kubernetes API."""
        return f"{self.file}:{self.line}" if self.file else ""

    def wrong(
        self, at: Location, reason: str, fix: str = "", *, missing: bool = False, in_text: int | None = None
    ) -> DefinitionError:
        """An error at the field `at`. `in_text` is the line within that field's text, from 0; `missing` as missing_reference."""
        line = self.line if self.node is None else line_of(self.node, at, in_text)
        kind, name = self.definition.kind, self.definition.metadata.name
        return DefinitionError(self.file, line, dotted(at), reason, kind, name, missing, fix)
