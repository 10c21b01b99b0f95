"""What the domain needs from outside."""

from collections.abc import Sequence
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Microseconds UTC since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        ...


class OnlineStore(Protocol):
    """Packed rows by key. Every call ends within its timeout; a store that can't be asked raises Unavailable."""

    async def read(self, keys: Sequence[bytes], timeout_s: float) -> list[bytes | None]:
        """The rows of `keys`, in order; None where there is none."""
        ...

    async def write(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> int:
        """Stores the rows whose event timestamp is not before the stored one's; returns how many. Atomic per row."""
        ...

    async def forget(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> None:
        """Removes the rows that still are exactly these. Atomic per row."""
        ...

    async def read_note(self, key: bytes, timeout_s: float) -> bytes | None:
        """A job's note kept beside the rows, so that both are lost together."""
        ...

    async def write_note(self, key: bytes, note: bytes, timeout_s: float) -> None:
        """Keeps a job's note."""
        ...


class Metrics(Protocol):
    """What is counted while reading and writing."""

    def store_read(self, seconds: float, keys: int, failed: bool) -> None:
        """One question to the online store."""
        ...

    def rows_read(
        self, view: str, rows: int, absent: int = 0, stale: int = 0, mismatched: int = 0, damaged: int = 0
    ) -> None:
        """One view of one read. Of the absent rows `mismatched` have the layout of another definition, `damaged` wrong bytes."""
        ...

    def rows_written(self, view: str, written: int, older: int) -> None:
        """One write."""
        ...
