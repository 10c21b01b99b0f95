"""The online store in memory, with the same rules as the real one."""

from collections.abc import Sequence

from chassis.errors import Unavailable
from features.domain.rows import event_timestamp_us


class FakeOnlineStore:
    """See features.domain.ports.OnlineStore. `is_down` makes every call fail."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.reads: list[list[bytes]] = []
        self.is_down = False

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("the online store is not connected", reason="ONLINE_STORE_UNAVAILABLE")

    async def ping(self, timeout_s: float) -> None:
        self._check()

    async def read(self, keys: Sequence[bytes], timeout_s: float) -> list[bytes | None]:
        self._check()
        self.reads.append(list(keys))
        return [self.rows.get(key) for key in keys]

    async def write(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> int:
        self._check()
        written = 0
        for key, row in zip(keys, rows, strict=True):
            stored = self.rows.get(key)
            if stored is None or event_timestamp_us(stored) <= event_timestamp_us(row):
                self.rows[key] = row
                written += 1
        return written

    async def forget(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> None:
        self._check()
        for key, row in zip(keys, rows, strict=True):
            if self.rows.get(key) == row:
                del self.rows[key]

    async def read_note(self, key: bytes, timeout_s: float) -> bytes | None:
        self._check()
        return self.rows.get(key)

    async def write_note(self, key: bytes, note: bytes, timeout_s: float) -> None:
        self._check()
        self.rows[key] = note
