"""docs/errors.md is the code's: every reason that a caller can see has a row there, with its code, and no row is of nothing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.errors import Code, MizzenError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "features", "retrieval", "monitoring", "control", "catalog", "chassis")
# What only jobs, starting services, or the way to the Kubernetes API can meet.
INSIDE = re.compile(
    r"duckdb_(offline|point_in_time|tables)|training|catalog_views|catalog_expressions|snapshot|migrations\.py|addresses|"
    r"openai_generator|parquet_writer|valkey_stream|valkey/idempotency\.py:STORE_DOWN|postgres_schema\.py:EXTENSION_MISSING"
)
NO_REASON = re.compile(
    r"MIZZEN_.*|DTYPE_(?!MISMATCH|UNKNOWN).*|OTEL_.*|GRPC_.*|NULL_VALUE|OUTSIDE_MAX_AGE|EVENT_US|SQL_TYPES|CLIENT_GONE|STATE_MARK|KUBERNETES_SERVICE_HOST|MAX_CHARACTERS"
)
CODES = {code.value for code in Code}


def rows() -> dict[str, str]:
    """Reason → code of each row under the reasons' headings."""
    text = (ROOT / "docs/errors.md").read_text().partition("## Reasons of the gateway")[2]
    found = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", text, re.MULTILINE)
    assert len(found) == len({reason for reason, _ in found}), "a reason has two rows"
    return dict(found)


def by_http() -> set[str]:
    """Reasons that HTTP alone has."""
    text = (ROOT / "docs/errors.md").read_text()
    part = text.partition("Of HTTP alone")[2].partition("## Reasons")[0]
    return set(re.findall(r"^\| `([A-Z_]+)` \| \d+ \|", part, re.MULTILINE))


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for room in ROOMS:
        for path in sorted((ROOT / "services" / room / "src" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                yield path, node


def reasons() -> set[str]:
    """Every text in the code that reads like a reason."""
    return {
        node.value
        for path, node in sources()
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|OVERLOADED", node.value)
        and not NO_REASON.fullmatch(node.value)
        and not INSIDE.search(f"{path.relative_to(ROOT)}:{node.value}")
    } - CODES


def test_every_reason_has_its_row_and_every_row_its_reason() -> None:
    listed = set(rows()) | by_http()
    assert sorted(reasons() - listed) == []
    assert sorted(listed - reasons()) == []


def test_each_row_has_the_code_of_the_error_that_is_raised() -> None:
    codes = {kind.__name__: kind.code.value for kind in MizzenError.__subclasses__()}
    raised: dict[str, set[str]] = {}
    for path, node in sources():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in codes:
            for keyword in node.keywords:
                if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant):
                    reason = str(keyword.value.value)
                    if not INSIDE.search(f"{path.name}:{reason}"):
                        raised.setdefault(reason, set()).add(codes[node.func.id])
    wrong = {reason: codes for reason, codes in raised.items() if reason in rows() and rows()[reason] not in codes}
    assert wrong == {}
    assert len(raised) > 60


@pytest.mark.parametrize("reason", sorted(rows()))
def test_a_row_names_a_code(reason: str) -> None:
    assert rows()[reason] in CODES
