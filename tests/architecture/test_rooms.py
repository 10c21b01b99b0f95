"""The house plan, held against the code: the same rooms everywhere, one call table, no cycles."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "features", "retrieval", "monitoring", "control")
# Import in an adapter → what it calls.
CALLED_BY_IMPORT = {
    "mizzen.features": "features",
    "mizzen.retrieval": "retrieval",
    "mizzen.monitoring.v1.monitoring": "monitoring",
    "mizzen.control": "control",
    "tritonclient": "inference",
    "redis": "valkey",
    "hiredis": "valkey",
    "asyncpg": "postgresql",
    "chassis.postgres.pool": "postgresql",
}


def room(service: str) -> Path:
    return ROOT / "services" / service / "src" / service


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("service", SERVICES)
def test_services_look_alike(service: str) -> None:
    for name in ("__main__.py", "main.py", "settings.py", "domain/model.py", "domain/ports.py"):
        assert (room(service) / name).is_file(), f"{service} has no {name}"
    for name in ("api", "adapters"):
        assert (room(service) / name).is_dir(), f"{service} has no {name}/"
    for name in ("pyproject.toml", "README.md"):
        assert (ROOT / "services" / service / name).is_file()
    lines = [line for line in (room(service) / "__main__.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 3, f"{service}/__main__.py is three lines"


@pytest.mark.parametrize("service", ["chassis", "catalog", "cli", "inference", "training", *SERVICES])
def test_every_room_says_what_it_is(service: str) -> None:
    assert len((ROOT / "services" / service / "README.md").read_text().splitlines()) >= 5
    assert (room(service) / "__init__.py").read_text().startswith('"""')


@pytest.mark.parametrize("service", SERVICES)
def test_the_call_table_is_what_adapters_import(service: str) -> None:
    table = yaml.safe_load((ROOT / "charts/mizzen/values.yaml").read_text())["allowedClients"]
    declared = {callee for callee, callers in table.items() if service in callers}
    imported = {
        callee
        for path in room(service).glob("adapters/**/*.py")
        for name in imports(path)
        for prefix, callee in CALLED_BY_IMPORT.items()
        if name.startswith(prefix) and callee != service
    }
    assert imported == declared


@pytest.mark.parametrize("service", SERVICES)
def test_only_adapters_reach_outside(service: str) -> None:
    clients = ("redis", "hiredis", "asyncpg", "duckdb", "httpx2", "aiohttp")
    for path in room(service).rglob("*.py"):
        if "adapters" in path.relative_to(room(service)).parts:
            continue
        assert not [name for name in imports(path) if name.startswith(clients)], path


def test_no_namespace_package_is_closed() -> None:
    """`mizzen` is a PEP 420 namespace: an __init__.py would hide the other distributions' parts of it."""
    assert not list(ROOT.glob("protos/python/**/__init__.py"))


def test_no_room_is_called_by_a_word_that_says_nothing() -> None:
    nothing = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "base"}
    names = [path for path in (ROOT / "services").rglob("*.py") if path.stem in nothing or path.parent.name in nothing]
    assert names == []


def test_nothing_is_known_by_its_address() -> None:
    """`id()` of a freed object is given to the next: a cache keyed by it once lent one user's request to another."""
    for path in sorted((ROOT / "services").glob("*/src/**/*.py")):
        named = uses_of_id(path.read_text())
        assert named == [], f"{path.relative_to(ROOT)} uses id() in lines {named}"


def uses_of_id(text: str) -> list[int]:
    """Lines where the builtin `id` is called, or handed on as a function; a field of that name is another thing."""
    tree = ast.parse(text)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    uses = [node.lineno for node in names if node.id == "id"]
    builtin = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "id"
        and isinstance(node.value, ast.Name)
        and node.value.id in ("builtins", "__builtins__")
    ]
    return sorted(uses + builtin)


@pytest.mark.parametrize(
    "text", ["id(a)", "map(id, b)", "sorted(b, key=id)", "make = id", "import builtins\nmap(builtins.id, b)"]
)
def test_an_address_is_found_however_it_is_asked_for(text: str) -> None:
    assert uses_of_id(text) == [text.count("\n") + 1]


def test_a_field_of_that_name_is_no_address() -> None:
    assert uses_of_id("def made(row): return Document(id=row.id, name=row['id'])\nclass Document:\n    id: str\n") == []
