"""What Triton is about to read: private copies of packages, examined once more, ``python -m inference.staging INTO ROOT…``.

Each repository is copied to ``INTO/<number>``, and the copy is examined and held against its digest, so that nobody changes what
was examined before Triton reads it. Of a model that may not run code, Triton reads config.pbtxt as it was understood here: written
anew from the parsed message, as two parsers might differ. ``INTO/served.json`` lists the copies to serve; a refused one is named on
standard error and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from google.protobuf import text_format

from chassis.errors import InvalidArgument, MizzenError
from inference import packaging
from inference.examine import CONFIG, copy_tree

SERVED = "served.json"
ALLOW_CODE = "MIZZEN_INFERENCE_ALLOW_CODE"
MOUNTS = Path("/proc/self/mountinfo")


def allowed_models(text: str) -> tuple[str, ...]:
    """The names in the setting `allowCode`, as its environment variable has them: separated by commas."""
    return tuple(name for each in text.split(",") if (name := each.strip()))


def stage(root: str, target: Path, allow_code: Collection[str] = ()) -> tuple[str, ...]:
    """Copies the repository ``root`` into the new folder ``target``, examines the copy and returns its models' names.

    On any fault nothing of it is left. Where the address of ``root`` says a digest, the package has to have it. Raises as
    :func:`inference.packaging.examine_repository`, OSError when it can't be copied.
    """
    if "://" in root:
        raise InvalidArgument(
            f"{root} would be fetched by Triton itself, unexamined: name it as storageUri of the InferenceService, which is "
            "fetched before Triton starts.",
            reason="STORAGE_UNSUPPORTED",
        )
    copy_tree(Path(root), target)
    try:
        examined = packaging.examine_repository(target, allow_code, addressed_digest(Path(root)))
        for model in examined:
            if not model.runs_code:
                (target / model.name / CONFIG).write_text(text_format.MessageToString(model.config))
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return tuple(model.name for model in examined)


def addressed_digest(root: Path, mounts: Path = MOUNTS) -> str:
    """The digest that the address of the repository ``root`` ends with; empty where it has none.

    That is its path, or in a pod, where each model is mounted at the same path, the part of the volume that is mounted there: the
    kernel knows it, and no file of the package says it.
    """
    if digest := packaging.stated_digest(root):
        return digest
    for line in mounts.read_text().splitlines() if mounts.is_file() else ():
        fields = line.split()
        if len(fields) > 4 and fields[4] == str(root):
            return packaging.stated_digest(Path(fields[3]))
    return ""


def stage_all(roots: Sequence[str], into: Path, allow_code: Collection[str] = ()) -> list[Path]:
    """Stages each of ``roots`` into the emptied folder ``into`` and returns the copies to serve; refusals go to standard error."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in into.iterdir():  # the folder itself may be a mount
        old.unlink() if old.is_symlink() or not old.is_dir() else shutil.rmtree(old)
    served = []
    for number, root in enumerate(roots):
        target = into / str(number)
        try:
            models = stage(root, target, allow_code)
        except MizzenError as error:
            sys.stderr.write(f"{root} is not served: {error.message} ({error.reason})\n")
        except OSError as error:
            sys.stderr.write(f"{root} is not served: it can't be copied to {into}: {error.strerror or error}\n")
        else:
            sys.stderr.write(f"{root} was examined: {', '.join(models)}\n")
            served.append(target)
    (into / SERVED).write_text(json.dumps([str(path) for path in served]))
    return served


def main() -> int:
    """The exit status: 1 when nothing is left to serve."""
    parser = argparse.ArgumentParser(prog="python -m inference.staging", description=__doc__)
    parser.add_argument("into", type=Path, help="private folder for the copies, emptied first")
    parser.add_argument("roots", nargs="*", help="Triton repositories")
    parser.add_argument("--allow-code", default=os.environ.get(ALLOW_CODE, ""), help="models trusted with code")
    given = parser.parse_args()
    os.umask(0o077)
    try:
        served = stage_all(given.roots, given.into, allowed_models(given.allow_code))
    except OSError as error:
        sys.stderr.write(
            f"MIZZEN_INFERENCE_SERVING: {given.into} can't hold copies of models: {error.strerror or error}\n"
        )
        return 1
    return 0 if served else 1


if __name__ == "__main__":
    sys.exit(main())
