"""Lints the protos and refuses a change that breaks the wire or JSON form of what was released.

`python protos/check.py` checks; `python protos/check.py --release` makes the protos as they are now the released ones.
buf takes its imports from its own directory tree, so the check runs on a copy with google/rpc beside ours.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.rpc import status_pb2

ROOT = Path(__file__).resolve().parent
RELEASED = ROOT / "released.binpb"
BUF = Path(sys.executable).parent / "buf"


def main(arguments: list[str]) -> int:
    """Exit status of the first check that fails, else 0."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        shutil.copytree(ROOT / "mizzen", tree / "mizzen")
        shutil.copy(ROOT / "buf.yaml", tree)
        (tree / "google" / "rpc").mkdir(parents=True)
        shutil.copy(Path(status_pb2.__file__).with_name("status.proto"), tree / "google" / "rpc")
        commands = [[BUF, "lint", "--path", "mizzen"]]
        if "--release" in arguments:
            commands.append([BUF, "build", "-o", RELEASED])
        else:
            commands.append([BUF, "breaking", "--against", RELEASED])
        for command in commands:
            status = subprocess.run(command, cwd=tree, check=False).returncode  # noqa: S603 - fixed commands
            if status:
                return status
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
