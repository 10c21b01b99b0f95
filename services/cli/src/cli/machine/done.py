"""What `mizzen up` finished before, so that it does only what is not done yet."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cli.machine.layout import Layout


@dataclass(slots=True)
class Done:
    """What earlier runs finished, by a digest of what it was made from."""

    path: Path
    digests: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, layout: Layout) -> "Done":
        """What is noted in the state."""
        path = layout.run / "done.json"
        try:
            found = json.loads(path.read_text())
            return cls(path, {str(key): str(value) for key, value in found.items()})
        except (OSError, ValueError, AttributeError):
            return cls(path)

    def is_done(self, job: str, digest: str) -> bool:
        return self.digests.get(job) == digest

    def note(self, job: str, digest: str) -> None:
        with self._lock:
            self.digests[job] = digest
            partial = self.path.with_suffix(".new")
            partial.write_text(json.dumps(self.digests))
            partial.replace(self.path)


def are_tables_made(project: Path, layout: Layout) -> bool:
    """Whether the offline root is as the project's data.py leaves it; without one, tables are the user's own."""
    if not (project / "data.py").is_file():
        return True
    return Done.of(layout).is_done("tables", tables_digest(project, layout.offline))


def tables_digest(project: Path, offline: Path) -> str:
    """Changes when the project's data.py or a table does."""
    script = project / "data.py"
    digest = hashlib.sha256(script.read_bytes() if script.is_file() else b"")
    for path in sorted(offline.rglob("*.parquet")):
        digest.update(f"{path}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
