"""Where things are under the one state directory that Mizzen writes to."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under `state`; `make` creates the folders."""

    state: Path

    @property
    def definitions(self) -> Path:
        return self.state / "definitions"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def offline(self) -> Path:
        return self.volumes / "offline"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def plan(self) -> Path:
        return self.run / "plan.json"

    @property
    def status(self) -> Path:
        return self.run / "status.json"

    @property
    def lock(self) -> Path:
        return self.run / "supervisor.lock"

    def log(self, name: str) -> Path:
        """Everything that the child `name` wrote, oldest first."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Create what is missing. The state itself is open for passing through: PostgreSQL may run as another user."""
        self.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        for folder in (self.definitions, self.volumes, self.run, self.logs):
            folder.mkdir(exist_ok=True, mode=0o755)
        self.keys.mkdir(exist_ok=True, mode=0o700)
