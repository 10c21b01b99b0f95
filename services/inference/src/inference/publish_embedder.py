"""Copies a model package out of the CPU runtime's image: ``python -m inference.publish_embedder MODELS DIGEST``.

The package lies in the image as ``/opt/mizzen/models/minilm/DIGEST`` and goes to ``MODELS/minilm/DIGEST``, whole or not at all.
What is there already stays: a version is an immutable path. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

SHIPPED = Path("/opt/mizzen/models")
NAME = "minilm"


def publish(models: Path, digest: str, shipped: Path = SHIPPED) -> bool:
    """Whether anything was copied. FileNotFoundError names what this image has when it is not ``digest``."""
    source = shipped / NAME / digest
    if not source.is_dir():
        has = ", ".join(sorted(path.name for path in (shipped / NAME).glob("*"))) or "none"
        raise FileNotFoundError(f"this image has no {NAME} package {digest}; it has {has}")
    target = models / NAME / digest
    if _is_published(target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{digest}-", dir=target.parent) as scratch:
        copy = Path(scratch) / digest
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
        os.sync()
        try:
            copy.rename(target)
        except OSError:
            if not _is_published(target):  # not a neighbour that was faster
                raise
    return True


def _is_published(target: Path) -> bool:
    """An empty folder is none: a kubelet makes it when a predictor mounts the path before anything is there."""
    return target.is_dir() and any(target.iterdir())


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m inference.publish_embedder", description=__doc__)
    parser.add_argument("models", type=Path, help="directory of the models volume")
    parser.add_argument("digest", help="digest of the package, the last part of its storageUri")
    arguments = parser.parse_args()
    try:
        copied = publish(arguments.models, arguments.digest)
    except OSError as error:
        sys.stderr.write(f"publish_embedder: {error}\n")
        return 1
    sys.stdout.write(f"{NAME}/{arguments.digest} {'published' if copied else 'was there already'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
