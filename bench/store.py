"""Where a benchmark's Valkey is, and its password."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Store:
    """A Valkey on this machine; `password_file` is what ours reads, `password` what others take."""

    port: int
    password_file: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()
