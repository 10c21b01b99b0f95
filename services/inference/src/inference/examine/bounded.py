"""ONNX files of strangers, parsed by a process that may take so much memory and time and no more.

A message without content is two bytes of a file and a hundred times as much once parsed, so a small file could take all memory of
the machine. Where it would, only this process ends, and the file is refused. `python -m inference.examine.bounded` is that process:
it takes a Task as JSON on standard input, and answers a list of paths or what it refuses.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from chassis.errors import InvalidArgument
from inference.examine.refusal import refusal

SMALL_BYTES = 256 * 1024
"""A file up to this size takes 40 MB and a third of a second at worst, and is parsed where it is asked for."""
_MIB = 1024 * 1024
_TOO_MUCH = 75
_WALL = 5  # times the CPU time that it may take: the machine may be busy


@dataclass(frozen=True, slots=True)
class Bounds:
    """What parsing may take beside the interpreter: bytes of memory, and seconds of CPU."""

    memory_bytes: int
    cpu_s: int

    @classmethod
    def of(cls, size: int) -> Bounds:
        """For a file of ``size`` bytes: itself, its content once more, and room for the graph."""
        return cls(256 * _MIB + 3 * size, 20 + size // (50 * _MIB))


@dataclass(frozen=True, slots=True)
class Task:
    """``path`` below ``root`` is the file, ``sizes`` are the package's files."""

    root: str
    path: str
    sizes: Mapping[str, int]
    memory_bytes: int
    cpu_s: int


def read_onnx(root: Path, path: str, sizes: Mapping[str, int], bounds: Bounds | None = None) -> set[str]:
    """As :func:`inference.examine.onnx_file.read_onnx`, whatever the file is: one that takes more than ``bounds`` is refused."""
    if sizes[path] <= SMALL_BYTES and bounds is None:
        from inference.examine import onnx_file  # noqa: PLC0415 - most callers need no parser of their own

        return onnx_file.read_onnx(root, path, sizes)
    bounds = bounds or Bounds.of(sizes[path])
    task = Task(str(root.absolute()), path, sizes, bounds.memory_bytes, bounds.cpu_s)
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(asdict(task)).encode(),
            # The modules of this process. Threads of a library for algebra would reserve memory that the bound counts.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            timeout=bounds.cpu_s * _WALL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_much(path, bounds) from None
    if done.returncode == _TOO_MUCH or done.returncode < 0:
        raise _too_much(path, bounds)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the parser of ONNX files ended with {done.returncode}: {said}")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise InvalidArgument(answer["refused"], reason=answer["reason"], field=answer["field"])
    return set(answer["data"])


def _too_much(path: str, bounds: Bounds) -> InvalidArgument:
    return refusal(
        path,
        f"parsing it takes more than {bounds.memory_bytes // _MIB} MiB or {bounds.cpu_s} s",
        mend="Export the model anew; weights belong into its tensors or into files beside it",
    )


def _confine(memory_bytes: int, cpu_s: int) -> None:
    """Bounds this process from here on: what the interpreter took by now is not counted."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    spent = math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, asked in ((resource.RLIMIT_AS, taken + memory_bytes), (resource.RLIMIT_CPU, spent + cpu_s)):
        _, hard = resource.getrlimit(kind)
        most = asked if hard == resource.RLIM_INFINITY else min(asked, hard)
        resource.setrlimit(kind, (most, most))


def main() -> int:
    """The exit status: 0, or 75 where the bounds were too narrow; the system's own where it ended the process."""
    from inference.examine import onnx_file  # noqa: PLC0415 - before the bounds count

    task = Task(**json.load(sys.stdin))
    _confine(task.memory_bytes, task.cpu_s)
    doubt = f", or parsing it takes more than {task.memory_bytes // _MIB} MiB"
    try:
        data = onnx_file.read_onnx(Path(task.root), task.path, task.sizes, doubt)
        answer: dict[str, object] = {"data": sorted(data)}
    except InvalidArgument as error:
        answer = {"refused": error.message, "reason": error.reason, "field": error.field}
    except MemoryError:
        return _TOO_MUCH
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
