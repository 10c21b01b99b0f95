"""Work that ends: preparing tables, materializing, ingesting. Each is a process or a series of public calls."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog import Collection, passed_over
from cli.machine.spec import tied
from cli.public_api import PublicApi

Say = Callable[[str], None]
BATCH_CHARACTERS = 24_000
"""A batch is one request, embedded before it is answered: small enough for a busy machine, with progress in between."""
_running: set["subprocess.Popen[str]"] = set()
MEDIA_TYPES = {".md": "text/markdown"}


class JobFailed(Exception):  # noqa: N818  # reads as what happened
    """The message holds the job's last lines."""


def run_job(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path, say: Callable[[str], None]
) -> str:
    """Run to the end, each line of output to `log` and `say`; returns the last line, JobFailed with the last ones."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with (
        log.open("a") as file,
        subprocess.Popen(
            tied(command, os.getpid(), signal.SIGTERM),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        _running.add(process)
        try:
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                if text := line.rstrip():
                    lines.append(text)
                    say(text.rsplit("\r", 1)[-1][:100])
        except BaseException:
            process.terminate()
            raise
        finally:
            _running.discard(process)
    if process.returncode:
        raise JobFailed(f"{' '.join(command[:4])} ended with {process.returncode}:\n" + "\n".join(lines[-15:]))
    return lines[-1] if lines else ""


def end_all() -> None:
    """Tell every job of this process to end, from whichever thread it was started."""
    for process in list(_running):
        process.terminate()


def prepare_tables(
    project: Path, offline: Path, environment: Mapping[str, str], log: Path, say: Callable[[str], None]
) -> None:
    """Run the project's own `data.py --root OFFLINE`, where it has one; it decides itself whether anything is to do."""
    script = (project / "data.py").resolve()
    if script.is_file():
        offline.mkdir(parents=True, exist_ok=True)
        run_job([sys.executable, str(script), "--root", str(offline)], environment, project, log, say)


def materialize(
    arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path, say: Callable[[str], None]
) -> str:
    """`python -m features.materialize`, which goes on where an earlier run stopped."""
    return run_job([sys.executable, "-m", "features.materialize", *arguments], environment, cwd, log, say)


def ingest(api: PublicApi, collection: Collection, directory: Path, say: Callable[[str], None]) -> str:
    """Send every file of the collection's sources, and delete what came from a file that is gone.

    What came from elsewhere has another source than its id, and stays. An unchanged document is not embedded again, as retrieval
    compares digests. Returns a sentence for people.
    """
    files = sorted(_files(collection, directory))
    sent = 0
    for batch in _batches([_document(path, directory) for path in files]):
        api.upsert_documents(collection.name, batch)
        sent += len(batch)
        say(f"{sent} of {len(files)} documents")
    known = {path.relative_to(directory).as_posix() for path in files}
    ours = [item["id"] for item in api.documents(collection.name) if item["source"] == item["id"]]
    stale = [document for document in ours if document not in known]
    for document in stale:
        api.delete_document(collection.name, document)
    return f"{sent} documents" + (f", {len(stale)} removed" if stale else "")


def sources_digest(collection: Collection, directory: Path) -> str:
    """Changes when a source file or the collection's own definition does."""
    digest = hashlib.sha256(collection.model_dump_json().encode())
    for path in sorted(_files(collection, directory)):
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(collection: Collection, directory: Path) -> set[Path]:
    found = {path for source in collection.spec.sources for path in directory.glob(source.path) if path.is_file()}
    return {path for path in found if not passed_over(path, directory)}


def _document(path: Path, directory: Path) -> dict[str, Any]:
    text = path.read_text(errors="replace")
    source = path.relative_to(directory).as_posix()
    title = next((line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("# ")), path.stem)
    media_type = MEDIA_TYPES.get(path.suffix, "text/plain")
    return {"id": source, "text": text, "media_type": media_type, "title": title, "source": source}


def _batches(documents: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        if batch and size + len(document["text"]) > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document["text"])
    if batch:
        yield batch
