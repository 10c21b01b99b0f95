"""The supervisor's process: `python -m cli.machine.supervision.supervisor STATE [PARENT]`."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from cli.machine.child import PR_SET_PDEATHSIG
from cli.machine.kernel import boot_id, living
from cli.machine.layout import Layout
from cli.machine.spec import specs_from_json
from cli.machine.supervision.orphans import end_orphans
from cli.machine.supervision.status import SupervisorStatus, holding, read_status, write_status
from cli.machine.supervision.tending import Tending

ORPHAN_PATIENCE_S = 5.0


class Supervisor:
    """Children by name, as the plan file has them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tended: dict[str, Tending] = {}
        born = living(os.getpid())
        self._status = SupervisorStatus(os.getpid(), born.started if born else 0, boot_id())
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Until TERM or INT; a second one kills what still drains."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        self._reload.set()
        waits = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self._follow_plan())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        with suppress(asyncio.CancelledError):
            await waits[1]
        await self._drain()

    def _on_stop(self) -> None:
        if self._stop.is_set():
            for tending in self._tended.values():
                tending.kill()
        self._stop.set()

    async def _follow_plan(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._apply_plan()

    async def _apply_plan(self) -> None:
        specs = {spec.name: spec for spec in specs_from_json(self._layout.plan.read_text())}
        gone = [
            tending
            for name, tending in self._tended.items()
            if name not in specs or specs[name].digest() != tending.status.digest
        ]
        await asyncio.gather(*(tending.drain() for tending in gone))
        for tending in gone:
            del self._tended[tending.spec.name]
        for name, spec in specs.items():
            if name not in self._tended:
                self._tended[name] = Tending(spec, self._layout.log(name), self._publish)
        self._publish()

    async def _drain(self) -> None:
        self._status.draining = True
        for stage in sorted({tending.spec.stage for tending in self._tended.values()}, reverse=True):
            await asyncio.gather(*(each.drain() for each in self._tended.values() if each.spec.stage == stage))

    def _publish(self) -> None:
        self._status.children = {name: tending.status for name, tending in self._tended.items()}
        write_status(self._layout.status, self._status)


def main(arguments: list[str]) -> int:
    """Exit 0 after a drain, 1 when another supervisor holds the state directory."""
    layout = Layout(Path(arguments[0]))
    if len(arguments) > 1:  # in front: Ctrl-C and a closed terminal drain, and so does the death of the command itself
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != int(arguments[1]):
            return 1
    try:
        with holding(layout.lock):
            return _supervise(layout)
    except BlockingIOError:
        print(f"another supervisor holds {layout.state}", file=sys.stderr)
        return 1


def _supervise(layout: Layout) -> int:
    earlier = read_status(layout.status)
    if earlier is not None:
        end_orphans(earlier, ORPHAN_PATIENCE_S)
    read_end, write_end = os.pipe()
    watchdog = subprocess.Popen(
        [sys.executable, "-m", "cli.machine.supervision.watchdog", str(layout.state), str(read_end)],
        pass_fds=[read_end],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    os.close(read_end)

    async def supervise() -> None:
        await Supervisor(layout).run()

    asyncio.run(supervise())
    layout.status.unlink(missing_ok=True)
    os.close(write_end)
    watchdog.wait()  # it finds the lock held, and so nothing to do
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
