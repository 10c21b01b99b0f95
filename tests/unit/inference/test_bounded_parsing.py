"""A small file that grows when parsed costs its parser a bounded share of memory and time, and others nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from chassis.errors import InvalidArgument
from inference.examine import bounded
from tests.unit.inference.onnx_models import doubling
from tests.unit.inference.poisons import MODEL, swollen

NAME = "model.onnx"
PEAKS = """
import re, resource, sys
from pathlib import Path
from chassis.errors import InvalidArgument
from inference.examine import examine_model
try:
    examine_model(Path(sys.argv[1]), sys.argv[2])
except InvalidArgument as error:
    print(error.message)
# ru_maxrss of this process would count the test's, which it was forked from
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_memory_is_bounded(tmp_path: Path) -> None:
    root = doubling(tmp_path / "package")
    (root / MODEL / "1" / NAME).write_bytes(swollen(24))
    line = [sys.executable, "-c", PEAKS, str(root), MODEL]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    said, here, there = done.stdout.splitlines()
    # The parser says that it has no memory, or the process ends: which depends on where the allocator meets the limit.
    ends = (
        "it is not an ONNX file, or parsing it takes more than 328 MiB",
        "parsing it takes more than 328 MiB or 20 s",
    )
    assert any(end in said for end in ends)
    assert int(here) < 250, "MiB of who asked"
    assert 0 < int(there) < 328 + 250, "MiB of the parser"


def test_time_is_bounded(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(swollen(8))
    sizes = {NAME: (tmp_path / NAME).stat().st_size}
    with pytest.raises(InvalidArgument, match=r"parsing it takes more than 4096 MiB or 1 s"):
        bounded.read_onnx(tmp_path, NAME, sizes, bounded.Bounds(4 << 30, 1))


def test_a_parser_of_its_own_says_the_same(tmp_path: Path) -> None:
    """Of a right file the names of its data, of a wrong one what is wrong with it."""
    root = doubling(tmp_path / "package")
    path = f"{MODEL}/1/{NAME}"
    sizes = {path: (root / path).stat().st_size}
    bounds = bounded.Bounds.of(sizes[path])
    assert bounded.read_onnx(root, path, sizes, bounds) == bounded.read_onnx(root, path, sizes) == set()
    (root / path).write_bytes(b"\x0a\x00")
    with pytest.raises(InvalidArgument, match="it has no graph") as caught:
        bounded.read_onnx(root, path, sizes, bounds)
    assert caught.value.field == path
    assert caught.value.reason == "FORMAT_REFUSED"


def test_a_parser_that_does_not_start_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the modules of who asks, wherever these come from; so here it meets an `onnx` that cannot be imported."""
    root = doubling(tmp_path / "package")
    path = f"{MODEL}/1/{NAME}"
    sizes = {path: (root / path).stat().st_size}
    (tmp_path / "onnx.py").write_text("raise ImportError('not this one')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match="ended with 1: ImportError: not this one"):
        bounded.read_onnx(root, path, sizes, bounded.Bounds.of(sizes[path]))
