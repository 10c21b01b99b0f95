"""Generates the committed Python package protos/python/ from the .proto files beside this script."""

import sys
from importlib.resources import files
from pathlib import Path

from google.rpc import status_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent


def main(out: Path = ROOT / "python") -> int:
    """Writes messages, stubs and type stubs under `out`; returns protoc's exit status."""
    google = Path(status_pb2.__file__).parents[2]
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("mizzen/**/*.proto"))
    out.mkdir(parents=True, exist_ok=True)
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{ROOT}",
                f"-I{google}",
                f"-I{files('grpc_tools') / '_proto'}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out={out}",
                f"--mypy_grpc_out={out}",
                *sources,
            ]
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(*(Path(argument) for argument in sys.argv[1:2])))
