"""Bodies of one connection on their way out, at either end: what fits the windows leaves in one write, the rest takes turns."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from chassis.wire.bounds import Budget, Calm
from chassis.wire.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame, frame_head

_FAIR = 256
BODY_ENDS = b""  # instead of a last header block: the body's last frame says that it is the last


class Outgoing:
    """What of one stream waits to be sent."""

    __slots__ = ("last", "moved_s", "pieces", "size", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.pieces: deque[memoryview] = deque()  # a large body is never copied whole, nor once for each frame
        self.size = 0
        self.last: bytes | None = None  # the header block that ends the stream, once known; BODY_ENDS without one
        self.moved_s = 0.0  # when it last got on


class Outbox:
    """Sends frames of waiting bodies in turn, as far as the windows and the transport allow; linear in the bytes."""

    def __init__(
        self, write: Callable[[bytes], None], ended: Callable[[Any], None], budget: Budget, calm: Calm
    ) -> None:
        """ended: called with a stream of which all was sent; budget: of the bytes that wait in the process.

        calm: of the peer, which may answer what is sent with windows.
        """
        self._write = write
        self._ended = ended
        self._budget = budget
        self._calm = calm
        self._pumping = False
        self.blocked: dict[int, Any] = {}
        self.window = 65535
        self.initial_window = 65535
        self.max_frame = 16384
        self.paused = False

    def send(self, stream: Any, head: bytes, data: Sequence[bytes], last: bytes | None) -> None:
        """Sends a header block (or none), a part of the body in pieces, and the block that ends the stream (or not yet)."""
        out: Outgoing = stream.out
        size = sum(map(len, data))
        parts = [frame(HEADERS, END_HEADERS, stream.id, head)] if head else []
        if out.size or self.paused or size > min(self.max_frame, self.window, out.window):
            if head:
                self._write(parts[0])
            self._wait(stream, size, data, last)
            return
        if size or last == BODY_ENDS:
            self.window -= size
            out.window -= size
            parts.append(frame_head(DATA, END_STREAM if last == BODY_ENDS else 0, stream.id, size))
            parts += data
        if last:
            parts.append(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, last))
        self._write(b"".join(parts))
        if last is not None:
            self._ended(stream)

    def _wait(self, stream: Any, size: int, data: Sequence[bytes], last: bytes | None) -> None:
        out: Outgoing = stream.out
        out.pieces.extend(memoryview(piece) for piece in data if piece)
        out.size += size
        out.last = last
        out.moved_s = time.monotonic()
        self.blocked[stream.id] = stream
        self.pump()
        if out.size:
            self._budget.hold(stream, out.size)

    def pump(self) -> None:
        """Sends what can be sent: of each waiting stream a frame, and again."""
        if self._pumping:  # writing may pause and resume the transport
            return
        self._pumping = True
        try:
            turns: deque[Any] = deque(self.blocked.values())
            while turns and not self.paused:
                stream = turns.popleft()
                if stream.id not in self.blocked or (stream.out.size and not self._send_part(stream)):
                    continue
                if stream.out.size:
                    turns.append(stream)
                else:
                    self._finish(stream)
        finally:
            self._pumping = False

    def _send_part(self, stream: Any) -> bool:
        """Sends one frame; False when no window is open."""
        out: Outgoing = stream.out
        left = size = min(out.size, self.max_frame, self.window, out.window)
        if size <= 0:
            return False
        flags = END_STREAM if size == out.size and out.last == BODY_ENDS else 0
        parts: list[bytes | memoryview] = [frame_head(DATA, flags, stream.id, size)]
        while left:
            piece = out.pieces[0]
            if len(piece) <= left:
                parts.append(out.pieces.popleft())
            else:
                parts.append(piece[:left])
                out.pieces[0] = piece[left:]
            left -= len(parts[-1])
        out.size -= size
        out.window -= size
        self.window -= size
        out.moved_s = time.monotonic()
        self._budget.hold(stream, out.size)
        if size >= _FAIR or not out.size:  # windows of a few bytes are an attack themselves
            self._calm.earn(2)
        self.blocked[stream.id] = self.blocked.pop(stream.id)  # to the end of the line
        self._write(b"".join(parts))
        return True

    def _finish(self, stream: Any) -> None:
        last = stream.out.last
        self.forget(stream)
        if stream.drained is not None and not stream.drained.done():
            stream.drained.set_result(None)
        if last:
            self._write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, last))
        if last is not None:
            self._ended(stream)

    def forget(self, stream: Any) -> None:
        """Drops what waits of a stream."""
        if self.blocked.pop(stream.id, None) is not None:
            stream.out.pieces.clear()
            stream.out.size = 0
            self._budget.release(stream)

    def stalled(self, for_s: float) -> list[Any]:
        """Streams of which nothing could be sent for so many seconds."""
        since_s = time.monotonic() - for_s
        return [stream for stream in self.blocked.values() if stream.out.moved_s <= since_s]
