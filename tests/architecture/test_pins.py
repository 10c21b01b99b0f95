"""Nothing is installed at a version that no file names: the same pins for people, tests and images."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = re.compile(r"mizzen(-[a-z]+)?")
SEEN = ("Makefile", ".ci/*", "**/Dockerfile*", "k8s/images/*.Dockerfile", "**/*.sh", "**/*.mk")
INSTALL = re.compile(r"(?:\bpip3?|\buv pip|\buvx|\bpipx) install\b.*|\$\(INSTALL\).*")


def pins(*names: str) -> dict[str, str]:
    """Name → version of requirement files whose every line is name==version."""
    lines = [line.split("#")[0].strip() for name in names for line in (ROOT / name).read_text().splitlines()]
    return {canonical(line.partition("==")[0]): line.partition("==")[2] for line in lines if line}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    "name",
    [
        "constraints.txt",
        "constraints-train.txt",
        "services/inference/requirements-triton.txt",
        "charts/requirements-checkov.txt",
    ],
)
def test_every_line_is_an_exact_version(name: str) -> None:
    assert [package for package, version in pins(name).items() if not version or "*" in version] == []


def test_what_is_installed_is_what_is_pinned() -> None:
    pinned = pins("constraints.txt")
    wrong = []
    for found in distributions():
        name = canonical(found.name)
        # pip is Python's own: it comes with the environment and only brings uv in.
        if not OURS.fullmatch(name) and name != "pip" and pinned.get(name) != found.version:
            wrong.append(f"{name} {found.version}, pinned {pinned.get(name)}")
    assert wrong == []


def test_rooms_name_packages_and_leave_versions_to_the_pins() -> None:
    pinned = pins("constraints.txt", "constraints-train.txt")
    for path in [*ROOT.glob("requirements*.txt"), ROOT / "services/inference/requirements-examine.txt"]:
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        assert [line for line in lines if line and canonical(line) not in pinned] == [], path


def test_nothing_is_installed_past_the_pins() -> None:
    past = []
    for pattern in SEEN:
        for path in ROOT.glob(pattern):
            if any(part.startswith(".venv") for part in path.relative_to(ROOT).parts) or not path.is_file():
                continue
            past += [f"{path.relative_to(ROOT)}: {text}" for text in installs(path.read_text()) if not is_pinned(text)]
    assert past == []


def installs(text: str) -> list[str]:
    """Each install command of a recipe, continuation lines joined."""
    joined = text.replace("\\\n", " ")
    return [
        match.group(0)
        for line in joined.splitlines()
        if not line.lstrip().startswith("#")
        for match in INSTALL.finditer(line)
    ]


def is_pinned(command: str) -> bool:
    if command.startswith("$(INSTALL)") or "constraint" in command:
        return True
    # In an image's recipe a file lies elsewhere, under the same name.
    files = [re.sub("^/src/", "services/inference/", name) for name in re.findall(r"-r\s+(\S+)", command)]
    return bool(files) and "--no-deps" in command and all(all(pins(name).values()) for name in files)
