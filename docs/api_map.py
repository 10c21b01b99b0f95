"""Writes the table of docs/api-map.md from the gateway's table of paths; `--check` only says whether it is so (exit status 1)."""

import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import MagicMock

from gateway.api.app import paths
from gateway.api.http.page import PATHS as DOCUMENTS
from gateway.api.http.path import Path as Row

DOCUMENT = Path(__file__).parent / "api-map.md"
HEAD = ("method", "path", "gRPC", "owner", "scope", "deadline", "Idempotency-Key")
# What the gRPC port has beside: protocols' own services, and Triton's stream, which REST has no word for.
RPCS = (
    ("inference.GRPCInferenceService/ModelStreamInfer", "oip", "infer"),
    ("grpc.health.v1.Health", "grpc", "–"),
    ("grpc.reflection.v1alpha.ServerReflection", "grpc", "–"),
)


def api_map(table: Sequence[Row]) -> str:
    """The Markdown table."""
    rows = [
        (
            row.method, f"`{row.template}`", row.grpc, row.dialect.name, row.scope or "–", _deadline(row),
            "kept" if row.idempotent else "–",
        )
        for row in table
    ]  # fmt: skip
    rows += [("GET", f"`{path}`", "–", "mizzen", "–", "–", "–") for path in sorted(DOCUMENTS)]
    rows += [("RPC", f"`{name}`", name, owner, scope, "the client's", "–") for name, owner, scope in RPCS]
    lines = [" | ".join(cells) for cells in (HEAD, *rows)]
    return "\n".join(f"| {line} |" for line in (lines[0], *lines[1:])).replace("\n", f"\n|{'---|' * len(HEAD)}\n", 1)


def _deadline(row: Row) -> str:
    if row.scope is None:
        return "–"
    return f"{row.deadline_s:g} s" if isinstance(row.deadline_s, float) else "the endpoint's"


def written(text: str) -> str:
    """The document with its table made anew."""
    before, _, rest = text.partition("\n| method |")
    return f"{before}\n{api_map(paths(MagicMock()))}{rest[rest.index(chr(10) * 2) :]}"


def main() -> int:
    """0, or 1 where `--check` finds another table."""
    text = DOCUMENT.read_text()
    made = written(text)
    if "--check" in sys.argv:
        return int(made != text)
    DOCUMENT.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
