"""Materialization: the latest offline row of each entity → the online store. Can be broken off and taken up again."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from features.domain.model import Rows, View
from features.domain.ports import OnlineStore
from features.domain.write import pack, store_rows

ROWS_PER_CHUNK = 20_000
_TIMEOUT_S = 30.0


class OfflineRows(Protocol):
    """The offline store as materialization sees it. Blocking; used from one thread at a time."""

    def stage(self, view: View) -> int:
        """Runs the view's SQL once; returns its rows."""
        ...

    def fingerprint(self, view: View) -> str:
        """Changes whenever the view's tables do."""
        ...

    def latest(
        self, view: View, since_us: int | None, until_us: int, tenant: str, rows_per_chunk: int, skip: int = 0
    ) -> Iterator[Rows]:
        """Latest row of each entity in (since, until], in chunks; the same arguments give the same chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a view's materialization is: rows sent so far, of them stored (the rest were older than what is there)."""

    view: str
    rows: int
    written: int
    is_done: bool
    was_done: bool = False


class Materializer:
    """Writes slices of time of staged views. `report` is called after each chunk."""

    def __init__(
        self,
        offline: OfflineRows,
        online: OnlineStore,
        tenant: str,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._offline = offline
        self._online = online
        self._tenant = tenant
        self._report = report

    async def stage(self, views: Sequence[View]) -> None:
        """Runs each view's SQL, so that slices are quick afterwards."""
        for view in views:
            await asyncio.to_thread(self._offline.stage, view)

    async def advance(self, views: Sequence[View], since_us: int | None, until_us: int) -> int:
        """Writes the latest rows in (since, until] of each view; returns how many were stored. For replays: keeps no notes."""
        written = 0
        for view in views:
            rows = self._offline.latest(view, since_us, until_us, self._tenant, ROWS_PER_CHUNK)
            while (chunk := await asyncio.to_thread(next, rows, None)) is not None:
                written += await self._write(view, chunk)
        return written

    async def materialize(self, view: View, since_us: int | None, until_us: int) -> Progress:
        """The same for one view, resuming at the chunk where an earlier run of the same slice stopped.

        The note of what is done lies in the online store: whoever loses the rows loses the note.
        """
        note_key = f"{{f1|{len(self._tenant)}:{self._tenant}|materialized}}{view.name}".encode()
        slice_hash = await asyncio.to_thread(self._slice_hash, view, since_us, until_us)
        note = json.loads(await self._online.read_note(note_key, _TIMEOUT_S) or b"{}")
        is_same = note.get("slice") == slice_hash
        chunks, rows, written = (note["chunks"], note["rows"], note["written"]) if is_same else (0, 0, 0)
        if is_same and note["done"]:
            done = Progress(view.name, rows, written, is_done=True, was_done=True)
            self._report(done)
            return done
        latest = self._offline.latest(view, since_us, until_us, self._tenant, ROWS_PER_CHUNK, chunks)
        pending = asyncio.create_task(asyncio.to_thread(next, latest, None))
        try:
            while True:
                chunk = await pending
                if chunk is not None:
                    # The next chunk is read while this one is written.
                    pending = asyncio.create_task(asyncio.to_thread(next, latest, None))
                    written += await self._write(view, chunk)
                    rows, chunks = rows + len(chunk.event_timestamps_us), chunks + 1
                is_done = chunk is None
                note = {"slice": slice_hash, "chunks": chunks, "rows": rows, "written": written, "done": is_done}
                await self._online.write_note(note_key, json.dumps(note).encode(), _TIMEOUT_S)
                progress = Progress(view.name, rows, written, is_done)
                self._report(progress)
                if is_done:
                    return progress
        finally:
            await asyncio.gather(pending, return_exceptions=True)

    def _slice_hash(self, view: View, since_us: int | None, until_us: int) -> str:
        source = view.source.sql if view.source else ""
        text = f"{view.schema_hash}|{source}|{since_us}|{until_us}|{self._offline.fingerprint(view)}"
        return blake2b(text.encode(), digest_size=16).hexdigest()

    async def _write(self, view: View, chunk: Rows) -> int:
        keys, packed = pack(view, chunk)
        return await store_rows(self._online, keys, packed, _TIMEOUT_S)
