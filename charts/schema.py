"""values.yaml → values.schema.json (closed: an unknown or ill-typed value is refused with its path) and docs/values.md.

The type of a value is that of its default; what a default can't say is in `SPECIAL`, by path.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
SERVICES = ("gateway", "features", "retrieval", "monitoring", "control")
CALLERS = [*SERVICES, "admins", "clients", "jobs", "test"]


def enum(*values: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def whole(least: int = 0, most: int | None = None) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


def items(schema: Schema, **more: Any) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema, **more}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object of these keys and no other."""
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": list(required)} if required else made


TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PORT = whole(1, 65535)
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$"}
QUANTITY: Schema = {"type": ["string", "integer"], "pattern": "^[0-9.]+(m|[kKMGTP]i?)?$"}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES = closed(requests=QUANTITIES, limits=QUANTITIES)
TAG: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]*$", "not": {"const": "latest"}}
DIGEST: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
ENVIRONMENT: Schema = {
    "type": "object",
    "patternProperties": {"^[A-Z][A-Z0-9_]*$": {"type": ["string", "number", "boolean"]}},
    "additionalProperties": False,
}
TOLERATIONS = items(
    closed(key=TEXT, operator=enum("Exists", "Equal"), value=TEXT, effect=TEXT, tolerationSeconds=whole())
)
ANY_OBJECT: Schema = {"type": "object"}
PEER = closed(podSelector=ANY_OBJECT, namespaceSelector=ANY_OBJECT, ipBlock=ANY_OBJECT)
PEERS = items(PEER)
# An empty list of peers would let everybody in.
SOME_PEERS = items(PEER, minItems=1)
ARGUMENTS = items(TEXT)
MODEL_NAMES = items({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"})
SERVICE = closed(
    ("name", "storageUri", "runtime"),
    name=NAME,
    storageUri={"type": "string", "pattern": "^[a-z0-9]+://.+$"},
    runtime=enum("mizzen-triton-cpu", "mizzen-triton-gpu"),
    models=MODEL_NAMES,
    minReplicas=whole(0),
    maxReplicas=whole(1),
    resources=RESOURCES,
    args=ARGUMENTS,
    env=items(ANY_OBJECT),
    nodeSelector=TEXTS,
    tolerations=TOLERATIONS,
    serviceAccount=TEXT,
    terminationSeconds=whole(),
)
JOB = closed(
    ("name", "args"),
    name=NAME,
    args=ARGUMENTS,
    schedule={"type": "string", "minLength": 9},
    env=ENVIRONMENT,
    resources=RESOURCES,
)
ACCESS = enum("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")
# Patterns of paths, the first that matches counts; `*` is one step.
SPECIAL: tuple[tuple[str, Schema], ...] = (
    ("allowedClients.*", items({"enum": CALLERS})),
    ("image.pullPolicy", enum("IfNotPresent", "Always", "Never")),
    ("image.pullSecrets", items(TEXT)),
    ("inference.embedder.digest", {"type": "string", "pattern": "^[0-9a-f]{16}$"}),
    ("**.tag", TAG),
    ("**.digest", DIGEST),
    ("telemetry.logLevel", enum("debug", "info", "warning", "error")),
    ("telemetry.tenantLabels", items(TEXT)),
    ("**.interval", {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"}),
    ("**.resources", RESOURCES),
    ("**.settings", ENVIRONMENT),
    ("**.autoscaling.metric", enum("cpu", "inFlight", "keda")),
    ("**.cpuPercent", whole(1, 100)),
    ("**.minReplicas", whole(1)),
    ("**.maxReplicas", whole(1)),
    ("**.inFlight", whole(1)),
    ("**.maxUnavailable", {"type": ["integer", "string"], "minimum": 1, "pattern": "^[1-9][0-9]?%$"}),
    ("**.readinessSeconds", whole(1)),
    ("**.livenessSeconds", whole(1)),
    ("**.startupSeconds", whole(10)),
    ("**.spread", enum("ScheduleAnyway", "DoNotSchedule")),
    ("gateway.grpc.server", enum("grpcio", "native")),
    ("**.server", enum("loop", "native", "grpcio")),
    ("**.service.type", enum("ClusterIP", "NodePort", "LoadBalancer")),
    ("**.tolerations", TOLERATIONS),
    ("**.labels", TEXTS),
    ("**.annotations", TEXTS),
    ("**.podAnnotations", TEXTS),
    ("**.nodeSelector", TEXTS),
    ("**.accessMode", ACCESS),
    ("**.claim", NAME),
    ("inference.mode", enum("kserve", "deployment")),
    ("inference.services", items(SERVICE)),
    ("inference.allowCode", MODEL_NAMES),
    ("inference.servingSize", QUANTITY),
    ("valkey.mode", enum("bundled", "external")),
    ("postgresql.mode", enum("bundled", "external")),
    ("valkey.appendFsync", enum("always", "everysec")),
    ("valkey.maxMemory", {"type": "string", "pattern": "^[0-9]+(kb|mb|gb)$"}),
    ("postgresql.sharedBuffers", {"type": "string", "pattern": "^[1-9][0-9]*(kB|MB|GB)$"}),
    ("postgresql.external.sslMode", enum("disable", "require", "verify-ca", "verify-full")),
    ("jobs.run", items(JOB)),
    ("networkPolicy.clients", SOME_PEERS),
    ("networkPolicy.admins", PEERS),
    ("networkPolicy.prometheus", SOME_PEERS),
    ("networkPolicy.dns", SOME_PEERS),
    ("**.peers", PEERS),
    ("**.cidrs", items(TEXT, minItems=1)),
    ("**.ports", items(PORT, minItems=1)),
    ("**.port", PORT),
    ("**.httpPort", PORT),
    ("**.httpsPort", PORT),
    ("**.parentRefs", items(ANY_OBJECT)),
    ("**.issuerKind", enum("Issuer", "ClusterIssuer")),
    ("**.size", QUANTITY),
    ("**.sharedMemory", QUANTITY),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value: its path, what its comment says, its default; `is_leaf` unless more values lie below."""

    path: tuple[str, ...]
    comment: str
    default: Any
    is_leaf: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)


def values(text: str) -> Iterator[Value]:
    """Every value of values.yaml in order, groups before their members."""
    lines = text.splitlines()
    root = yaml.compose(text, yaml.SafeLoader)
    yield from _members(root, (), lines, yaml.safe_load(text))


def _members(
    node: yaml.MappingNode, path: tuple[str, ...], lines: list[str], content: dict[str, Any]
) -> Iterator[Value]:
    for key, inner in node.value:
        at = (*path, key.value)
        default = content[key.value]
        below = isinstance(inner, yaml.MappingNode) and not inner.flow_style
        below = below and special(".".join(at)) is None
        yield Value(at, _comment(lines, key.start_mark.line), default, not below)
        if below:
            yield from _members(inner, at, lines, default)


def _comment(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("# "))
    return " ".join(found)


def special(path: str) -> Schema | None:
    """The schema that SPECIAL has for a path."""
    for pattern, schema in SPECIAL:
        expression = re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", "[^.]+")
        if re.fullmatch(expression, path):
            return schema
    return None


def schema_of(found: list[Value]) -> Schema:
    """The whole schema."""
    root = closed()
    for value in found:
        place = root
        for step in value.path[:-1]:
            place = place["properties"][step]
            if "properties" not in place:
                break
        else:
            place["properties"][value.path[-1]] = {**_schema(value), "description": value.comment}
    shared = root["properties"]["serviceDefaults"]["properties"]
    for service in SERVICES:
        own = root["properties"][service]["properties"]
        root["properties"][service]["properties"] = {**shared, **own}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart mizzen", **root}


def _schema(value: Value) -> Schema:
    found = special(value.name)
    if found is not None:
        return json.loads(json.dumps(found))  # type: ignore[no-any-return]
    if not value.is_leaf:
        return closed()
    kinds = {bool: {"type": "boolean"}, int: whole(), str: TEXT}
    return dict(kinds[type(value.default)])


def table(found: list[Value]) -> str:
    """docs/values.md."""
    head = (
        "# Every value of the chart\n\n"
        "Generated from [charts/mizzen/values.yaml](../charts/mizzen/values.yaml); don't edit.\n"
        "A service (`gateway`, `features`, `retrieval`, `monitoring`, `control`) takes everything of `serviceDefaults` in its own\n"
        "section too. A value that isn't here, or of another type, is refused with its path.\n\n"
        "| value | default | what it does |\n|---|---|---|\n"
    )
    rows = []
    for value in found:
        if value.is_leaf:
            default = json.dumps(value.default, ensure_ascii=False)
            shown = f"`{default}`" if len(default) <= 80 else "see values.yaml"
            meaning = value.comment.replace("|", "\\|")
            rows.append(f"| `{value.name}` | {shown} | {meaning} |")
    return head + "\n".join(rows) + "\n"


def load(chart: Path) -> list[Value]:
    """The values of the chart in this folder."""
    return list(values((chart / "values.yaml").read_text()))
