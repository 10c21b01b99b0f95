"""Copies a model package out of the CPU runtime's image: ``python -m inference.publish_embedder MODELS DIGEST``.

The package lies in the image as ``/opt/mizzen/models/minilm/DIGEST`` and goes to ``MODELS/minilm/DIGEST``, whole or not at all.
What is there already stays: a version is an immutable path. Both are examined as every package is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chassis.errors import MizzenError
from inference import packaging

SHIPPED = Path("/opt/mizzen/models")
NAME = "minilm"


def publish(models: Path, digest: str, shipped: Path | None = None) -> bool:
    """Whether anything was copied. FileNotFoundError names what this image has when it is not ``digest``.

    What is copied, and what is there already, is examined: raises as :func:`inference.packaging.publish`.
    """
    shipped = shipped or SHIPPED
    source = shipped / NAME / digest
    if not source.is_dir():
        has = ", ".join(sorted(path.name for path in (shipped / NAME).glob("*"))) or "none"
        raise FileNotFoundError(f"this image has no {NAME} package {digest}; it has {has}")
    packaging.check_repository(source, digest=digest)
    was_there = packaging.is_published(models / NAME / digest)
    packaging.publish(source, models, NAME)
    return not was_there


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m inference.publish_embedder", description=__doc__)
    parser.add_argument("models", type=Path, help="directory of the models volume")
    parser.add_argument("digest", help="digest of the package, the last part of its storageUri")
    arguments = parser.parse_args()
    try:
        copied = publish(arguments.models, arguments.digest)
    except (OSError, MizzenError) as error:
        sys.stderr.write(f"publish_embedder: {error}\n")
        return 1
    sys.stdout.write(f"{NAME}/{arguments.digest} {'published' if copied else 'was there already'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
