"""pygrpc-native as we use it: its aio server, with what 0.5 lacks for our services.

Four things are mended here, each held by the contract suite:

- Methods with streaming requests, reflection among them, are passed on to a grpc.aio server on a Unix socket, whose
  ``add_registered_method_handlers`` does nothing: they must arrive as generic handlers.
- A stream whose client stops reading blocks a thread of the loop's default executor; six such clients would stop every
  adapter that uses it. Here the stream waits on the loop.
- That Unix socket lies in the system's temporary directory and outlives a killed process. Here it lies under a
  directory of ours, named by process, and what dead processes left there is removed.
- It closes its sockets as soon as the last handler is done, with answers still on their way to the wire. Here they get
  a moment to leave.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pygrpc_native.aio
from pygrpc_native._native import STREAM_CLOSED, STREAM_FULL

from chassis.rpc.handlers import Handler

_FIRST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.05
_FLUSH_S = 0.25
_LONGEST_SOCKET_PATH = 107
_BELOW = len("/pygrpc-native-12345678/fallback.sock")


class NativeServer(pygrpc_native.aio.Server):
    """A grpc.aio.Server whose HTTP/2 runs in Rust. sockets: directory for its own socket; None takes the system's."""

    def __init__(self, options: Sequence[tuple[str, Any]], sockets: Path | None = None) -> None:
        super().__init__(options=options)
        self._sockets = sockets

    def add_methods(self, service: str, methods: dict[str, Handler]) -> None:
        """Serves `methods` of `service`, whatever kind they are."""
        streamed = {f"/{service}/{name}": method for name, method in methods.items() if method.request_streaming}
        plain = {name: method for name, method in methods.items() if not method.request_streaming}
        if streamed:
            self.add_generic_rpc_handlers((_StreamedMethods(streamed),))
        if plain:
            self.add_registered_method_handlers(service, plain)

    async def start(self) -> None:
        directory = _own_directory(self._sockets)
        before = tempfile.tempdir
        tempfile.tempdir = str(directory) if directory else before
        try:
            await super().start()
        finally:
            tempfile.tempdir = before

    async def stop(self, grace: float | None) -> None:
        front: Any = self._front
        if front is not None:
            self._front = _FlushedFront(front)  # type: ignore[assignment]  # it passes on what it does not change
        await super().stop(grace)
        if self._sockets is not None:
            shutil.rmtree(self._sockets / str(os.getpid()), ignore_errors=True)

    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        front: Any = self._front
        data = self._encode(call, context, response)
        if data is None:
            return False
        context._initial_sent = True
        wait_s = _FIRST_WAIT_S
        while (sent := front.stream_try_send(call.call_id, data)) == STREAM_FULL:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        return bool(sent != STREAM_CLOSED)


class _FlushedFront:
    """The Rust side, closed a moment later than asked."""

    def __init__(self, front: Any) -> None:
        self._front = front

    def __getattr__(self, name: str) -> Any:
        return getattr(self._front, name)

    def close(self) -> None:
        """Called in an executor, so that the loop goes on meanwhile."""
        time.sleep(_FLUSH_S)
        self._front.close()


class _StreamedMethods(grpc.GenericRpcHandler):
    """Methods with streaming requests; not a ServiceRpcHandler, which would be taken for a registered service's."""

    def __init__(self, methods: dict[str, Handler]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Handler | None:
        return self._methods.get(handler_call_details.method)


def _own_directory(sockets: Path | None) -> Path | None:
    """This process's directory below `sockets`, made anew; None when it cannot hold a socket."""
    if sockets is None or len(str(sockets / str(os.getpid()))) + _BELOW > _LONGEST_SOCKET_PATH:
        return None
    try:
        sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in sockets.iterdir():
            if left.name == str(os.getpid()) or not Path("/proc", left.name).exists():
                shutil.rmtree(left, ignore_errors=True)
        own = sockets / str(os.getpid())
        own.mkdir(mode=0o700)
    except OSError:
        return None
    return own
