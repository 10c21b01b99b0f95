"""Keeping one child alive: start, watch, clean up after its death, wait, start again."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cli.machine.kernel import living
from cli.machine.processes import end_group, spawn, sweep_shared_memory
from cli.machine.readiness import is_ready
from cli.machine.spec import ChildSpec
from cli.machine.supervision.status import ChildStatus, State

BACKOFF_START_S = 0.2
BACKOFF_CAP_S = 5.0
STEADY_S = 10.0
"""A child that was ready for this long has earned a fresh backoff."""
PROBE_STARTING_S = 0.1
PROBE_READY_S = 1.0


def next_backoff(backoff_s: float, ready_for_s: float) -> float:
    """The wait after the next death: doubled up to the cap, or the first one again after a steady life."""
    return BACKOFF_START_S if ready_for_s >= STEADY_S else min(backoff_s * 2, BACKOFF_CAP_S)


class Tending:
    """One child's life. `status` is kept true; `changed` is called after each change of it."""

    def __init__(self, spec: ChildSpec, log: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.status = ChildStatus(spec.name, ports=spec.ports, digest=spec.digest(), shm_prefix=spec.shm_prefix)
        self._log = log
        self._changed = changed
        self._child: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._task = asyncio.create_task(self._live(), name=spec.name)

    async def drain(self) -> None:
        """Stop for good: the stop signal, the child's own timeout, then its group is killed."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._set("stopping")
        if self._child is not None:
            self._signal(self.spec.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), self.spec.stop_timeout_s)
            await self._clean_up()
        self._set("stopped")

    def kill(self) -> None:
        """End a drain that takes too long for whoever asked twice."""
        self._signal(signal.SIGKILL)

    async def _live(self) -> None:
        backoff_s = BACKOFF_START_S
        while True:
            self._start()
            ready_for_s = await self._watch()
            await self._clean_up()
            self.status.restarts += 1
            self._set("waiting")
            await asyncio.sleep(backoff_s)
            backoff_s = next_backoff(backoff_s, ready_for_s)

    def _start(self) -> None:
        self._exited = asyncio.Event()
        self._child = spawn(self.spec, self._log)
        self.status.pid = self._child.pid
        born = living(self._child.pid)
        self.status.started = born.started if born else 0
        watched, exited = os.pidfd_open(self._child.pid), self._exited
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(watched)
            os.close(watched)
            exited.set()

        loop.add_reader(watched, ended)
        self._set("starting")

    async def _watch(self) -> float:
        """Until the child is dead; returns for how many seconds it was ready."""
        ready_since: float | None = None
        while not self._exited.is_set():
            ready = await asyncio.to_thread(is_ready, self.spec.ready)
            if self._exited.is_set():
                break
            if ready and ready_since is None:
                ready_since = time.monotonic()
            state: State = "ready" if ready else "starting" if ready_since is None else "unready"
            if state != self.status.state:
                self._set(state)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), PROBE_READY_S if ready else PROBE_STARTING_S)
        return 0.0 if ready_since is None else time.monotonic() - ready_since

    async def _clean_up(self) -> None:
        """Nothing of the old life may meet the new one: the rest of its group, its shared memory."""
        if self._child is None:
            return
        await asyncio.to_thread(end_group, self._child.pid)
        code = self._child.wait()
        self.status.last_exit = signal.Signals(-code).name if code < 0 else f"exit {code}"
        sweep_shared_memory(self.spec.shm_prefix)
        self._child = None
        self.status.pid = 0

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)

    def _set(self, state: State) -> None:
        self.status.state = state
        self.status.since = time.time()
        self._changed()
