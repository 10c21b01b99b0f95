"""Where things are under the one state directory that Mizzen writes to."""

import os
from dataclasses import dataclass
from pathlib import Path

from catalog import STATE_MARK

POSTGRES = "postgres"
OWN = ("definitions", "volumes", "keys", "run", "logs", "valkey", POSTGRES, "triton")
PRIVATE = 0o700
PASSABLE = 0o711
"""PostgreSQL of root runs as another user, who has to get through to its files, and sees nothing on the way."""


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

    @property
    def valkey(self) -> Path:
        return self.state / "valkey"

    @property
    def postgres(self) -> Path:
        return self.state / POSTGRES

    def make(self) -> None:
        """Create what is missing, readable by this user alone, and close what an earlier version left open."""
        self.state.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        # A folder that holds other things as well keeps the mode that its owner gave it.
        if {each.name for each in self.state.iterdir()} <= {*OWN, STATE_MARK}:
            close(self.state, PASSABLE if os.getuid() == 0 else PRIVATE)
        (self.state / STATE_MARK).touch(mode=0o600)
        for name in OWN:
            folder = self.state / name
            folder.mkdir(exist_ok=True, mode=PRIVATE)
            close(folder, PASSABLE if name == POSTGRES and os.getuid() == 0 else PRIVATE)


def close(folder: Path, mode: int) -> None:
    """Set the mode. On a mounted volume the folder may be another user's, who set it already."""
    if folder.stat().st_uid == os.getuid():
        folder.chmod(mode)
