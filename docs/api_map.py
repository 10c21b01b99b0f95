"""Writes the tables of docs/api-map.md, paths and limits, from the gateway; `--check` says whether they are so (exit status 1)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from catalog.kinds.endpoint import Limits
from gateway.api.app import described
from gateway.api.edge import MAX_TIMEOUT_MS
from gateway.api.http.page import PATHS as DOCUMENTS
from gateway.api.http.path import Path as Row
from gateway.api.http.request import MAX_DEPTH, MAX_NESTED
from gateway.api.oip.json import MAX_INPUTS
from gateway.domain.columns import MAX_STRING
from gateway.domain.endpoints import MAX_PAGE
from gateway.domain.idempotency import MAX_KEY
from gateway.domain.labels import MAX_LABELS
from gateway.domain.read import MAX_REFERENCES, MAX_ROWS, MAX_VALUES
from gateway.domain.retrieve import MAX_ASK_TOP_K, MAX_DOCUMENTS, MAX_ID, MAX_QUERY, MAX_SEARCH_TOP_K
from gateway.settings import Settings

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


def limits() -> str:
    """What a request may have, over REST and gRPC alike, as a Markdown table."""
    port, endpoint = Settings.model_fields, Limits.model_fields
    rows = [
        (
            "a request's body or message",
            f"{port['max_body_bytes'].default // 2**20} MiB",
            "`MIZZEN_GATEWAY_MAX_BODY_BYTES`",
        ),
        ("a JSON body", f"{MAX_DEPTH} levels, {MAX_NESTED:,} brackets", "–"),
        ("time for a body to arrive", f"{port['body_timeout_s'].default:g} s", "`MIZZEN_GATEWAY_BODY_TIMEOUT_S`"),
        ("a timeout that a client asks for over REST", f"{MAX_TIMEOUT_MS // 60_000} minutes", "–"),
        ("rows of a predict", f"{endpoint['max_rows'].default:,}", "the endpoint's `limits.maxRows`"),
        (
            "rows of a predict with `explain`",
            f"{endpoint['max_explain_rows'].default:,}",
            "the endpoint's `limits.maxExplainRows`",
        ),
        ("rows, references, values of a features read", f"{MAX_ROWS:,}, {MAX_REFERENCES:,}, {MAX_VALUES:,}", "–"),
        ("inputs of an infer over REST", f"{MAX_INPUTS}", "–"),
        ("characters of a text column's value", f"{MAX_STRING:,}", "–"),
        ("characters of a query or question", f"{MAX_QUERY:,}", "–"),
        ("`top_k` of a search, of an ask", f"{MAX_SEARCH_TOP_K}, {MAX_ASK_TOP_K}", "–"),
        ("documents of a call; characters of an id", f"{MAX_DOCUMENTS:,}; {MAX_ID}", "–"),
        ("labels of a call", f"{MAX_LABELS:,}", "–"),
        ("items of a page", f"{MAX_PAGE:,}", "–"),
        ("characters of an Idempotency-Key", f"{MAX_KEY}", "–"),
    ]
    return "| what | most | set by |\n|---|---|---|\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(text: str) -> str:
    """The document with its tables made anew."""
    for first, table in (("\n| method |", api_map(described())), ("\n| what | most |", limits())):
        before, _, rest = text.partition(first)
        text = f"{before}\n{table}{rest[rest.index(chr(10) * 2) :]}"
    return text


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
