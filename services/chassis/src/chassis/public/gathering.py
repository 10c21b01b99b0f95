"""A transport that writes an answer's head and body at once, and knows how much of what it wrote the client has taken."""

import asyncio
import fcntl
import struct
import termios
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

# From here on joining head and body costs more than another write.
_LARGE = 65_536


class Gathering:
    """An answer's head waits for its body, so that both leave in one write; at most until the next turn of the loop."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""
        self._flushing: asyncio.Handle | None = None
        self.written = 0
        self.lost = False  # set by whom the connection is lost to; a transport that closes may still have much to write
        self.since = 0.0  # when the first of it was written that is not known to be taken; 0 for none

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """As any transport's; by name, as `__getattr__` takes five times as long."""
        closing: bool = self._transport.is_closing()
        return closing

    def write(self, data: bytes) -> None:
        """Writes, soon."""
        self._count(data)
        if self._flushing is None:
            self._held = data
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)
        elif len(data) < _LARGE:
            self._held += data
            self.flush()
        else:
            self.flush()
            if not self._transport.is_closing():
                self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """Writes an answer that has its head and body together already."""
        self.flush()
        self._count(answer)
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _count(self, data: bytes) -> None:
        self.written += len(data)
        if not self.since:
            self.since = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Closes once all is taken."""
        self.flush()
        self._transport.close()

    def end(self) -> None:
        """Says that nothing more is written; what arrives is still read."""
        self.flush()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def reset(self) -> None:
        """Ends the connection and lets go of what the kernel still keeps for the client, who would take hours for it."""
        if not self.lost:
            socket = self._transport.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def flush(self) -> None:
        """Writes what waits."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(held)

    def kept(self) -> int:
        """Bytes that this process still keeps for the client."""
        return 0 if self.lost else int(self._transport.get_write_buffer_size())

    def taken(self) -> int:
        """Bytes that have reached the client, of `written`: neither kept here nor unacknowledged in the kernel."""
        if self.lost:
            return self.written
        socket = self._transport.get_extra_info("socket")
        unsent: int = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        return self.written - len(self._held) - self.kept() - unsent
