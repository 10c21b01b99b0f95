"""What all definitions share: strict camel-cased models, metadata, element types."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints
from pydantic import Field as Described
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

GROUP_VERSION: Literal["mizzen.dev/v1alpha1"] = "mizzen.dev/v1alpha1"
# RFC 1123 label: what Kubernetes takes for names of Services and most objects.
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
IDENTIFIER_PATTERN = r"^[a-z_][a-z0-9_]{0,62}$"
REFERENCE = re.compile(r"^(?P<view>[a-z_][a-z0-9_]*):(?P<feature>[a-z_][a-z0-9_]*)$")

ObjectName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
Reference = Annotated[
    str, StringConstraints(pattern=REFERENCE.pattern.replace("?P<view>", "").replace("?P<feature>", ""))
]


Location = tuple[int | str, ...]
"""A field as in YAML: ("spec", "features", 0, "name")."""
FAULTS = "faults"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at the field `at`, below the object that a validator looks at, and how to mend it."""

    at: Location
    reason: str
    fix: str = ""


def refuse(faults: list[Fault]) -> None:
    """Raises what pydantic takes for a failed validation, with every fault in its context; nothing where there is none."""
    if faults:
        said = "; ".join(f"{fault.reason}: {fault.fix}" if fault.fix else fault.reason for fault in faults)
        raise PydanticCustomError(FAULTS, "{said}", {"said": said, FAULTS: faults})


class DType(StrEnum):
    """Element type of an entity, an input, a feature or an output."""

    BOOL = "BOOL"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT32 = "FLOAT32"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"


class Definition(BaseModel):
    """Closed, immutable, camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def rules(*checks: tuple[str, str]) -> ConfigDict:
    """Model settings that carry (CEL rule, message) pairs into the generated CRD; the model's validators say the same."""
    validations: list[JsonValue] = [{"rule": rule, "message": message} for rule, message in checks]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": validations})


class Metadata(BaseModel):
    """Kubernetes object metadata; what the API server adds is kept out of the way."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: ObjectName = Described(description="Object name, a DNS label.")
    namespace: str | None = Described(default=None, description="Namespace; empty on a laptop.")
    labels: dict[str, str] = Described(default_factory=dict, description="Labels, kept as they are.")
    annotations: dict[str, str] = Described(default_factory=dict, description="Annotations, kept as they are.")


class Field(Definition):
    """A named column of an entity, an input or an output."""

    name: Identifier = Described(description="Column name: lower case, digits and underscores.")
    dtype: DType = Described(description="Element type.")
    unit: str = Described(default="", description="Unit in words, e.g. minutes; empty for a pure number.")
    description: str = Described(default="", description="One sentence for its users.")
