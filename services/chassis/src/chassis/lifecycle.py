"""From nothing to serving and back, the same for every service.

start: logs → ops port → ``build`` → data ports (NOT_SERVING) → background work → warm → ready.
SIGTERM: not ready, NOT_SERVING → drain seconds, still accepting → stop with grace → close → flush. A second one exits at once.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Generic

import uvloop

from chassis import metrics as declared
from chassis.errors import MizzenError
from chassis.memory import Reclaim
from chassis.ops import OpsServer
from chassis.public.grpc import make_public_server
from chassis.rpc.server import Server, Surroundings, make_server
from chassis.runtime import Build, Runtime, S, Service, Step, make_runtime
from chassis.scheduling import let_others_finish
from chassis.telemetry import logs

__all__ = ["Build", "Lifecycle", "Runtime", "Service", "Step", "make_runtime", "run"]

_PORT_TRIES = 20  # a predecessor may need its drain to let go of the port
_CLOSE_S = 5.0
_STUCK_S = 120.0
# Seconds after which a thread that computes lets another one in. Python's own 5 ms would let a probe wait for several of them.
_SWITCH_S = 0.001


def run(settings: S, build: Build[S]) -> int:
    """Runs a service until SIGTERM; answers the exit status: 0 after a full drain, 1 when it could not start."""
    logs.setup(settings.room, settings.log_level)
    sys.setswitchinterval(_SWITCH_S)
    if settings.batch_scheduling:
        let_others_finish()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(settings, build))


async def _main(settings: S, build: Build[S]) -> int:
    runtime = make_runtime(settings)
    lifecycle = Lifecycle(runtime, build)
    stop = asyncio.Event()
    _catch_signals(stop, runtime.log)
    asyncio.get_running_loop().set_exception_handler(loop_error)
    try:
        await lifecycle.start(stop)
        _settle_garbage_collector()
        await stop.wait()
    except OSError as error:
        runtime.log.error("cannot start", error=str(error))
        return 1
    except Exception as error:
        runtime.log.error("cannot start", error=repr(error), exc_info=error)
        return 1
    finally:
        await lifecycle.stop()
        # What is frozen is never let go: libraries that look at their exit (DuckDB's) would tell of leaks.
        gc.unfreeze()
    return 0


def loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop is told that nobody awaits: logged, but for name lookups that were given up.

    uvloop lets a lookup go on whose caller ran out of time. That caller has told so; how the lookup ended later helps nobody,
    and while a name is not known yet (a store that starts after its users) it would be told at every try.
    """
    if isinstance(context.get("exception"), socket.gaierror) and "future" in context:
        return
    loop.default_exception_handler(context)


def _settle_garbage_collector() -> None:
    """Requests leave few cycles: collecting every 700 objects, over all that was loaded, costs a sixth of a small RPC.

    What is loaded now stays, and is looked at no more. The threshold bounds how long one collection of the young holds up the event
    loop: under overload, 50,000 of them took longer than a refusal may take.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 100)


def _catch_signals(stop: asyncio.Event, log: Any) -> None:
    received: set[signal.Signals] = set()

    def on(number: signal.Signals) -> None:
        if number in received:
            log.warning("exiting at once", signal=number.name)
            sys.stdout.flush()
            os._exit(128 + number)
        received.add(number)
        log.info("draining", signal=number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on, number)


class Lifecycle(Generic[S]):
    """One service's way up and down; `run` puts a process around it, tests may drive it themselves."""

    def __init__(self, runtime: Runtime[S], build: Build[S]) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._build = build
        self._state = "starting"
        self._service = Service()
        self._server: Server | None = None
        self._public: Any = None
        self._background: list[asyncio.Task[None]] = []
        self._ready_gauge = runtime.metrics.gauge(declared.READY)
        self._beat_s = runtime.clock.monotonic_s()
        where = (self._settings.host, self._settings.ops_port)
        self.ops = OpsServer(*where, runtime.registry, lambda: self._state, self._stuck, self._details)

    @property
    def port(self) -> int:
        """The gRPC port in use, 0 before start."""
        return self._server.port if self._server else 0

    @property
    def public_port(self) -> int:
        """The HTTP port in use, 0 without one."""
        return int(self._public.port) if self._public else 0

    async def start(self, stop: asyncio.Event | None = None) -> None:
        """Up to ready, or until `stop` is set. Raises OSError when a port stays taken."""
        await _bound(self.ops.start)
        self._background.append(asyncio.create_task(self._beat(), name="beat"))
        building = asyncio.ensure_future(self._build(self._runtime))
        if not await _unless(stop, building):
            return
        self._service = building.result()
        await self._open_ports()
        for name, work in (*self._service.background, ("memory", Reclaim().run)):
            self._background.append(asyncio.create_task(self._keep(name, work), name=name))
        warming = asyncio.gather(*(self._retry(step) for step in self._service.warm))
        if not await _unless(stop, warming):
            return
        self._state = "ready"
        self._ready_gauge.set(1)
        if self._server is not None:
            self._server.set_serving(True)
        ports = {"grpc": self.port, "http": self.public_port, "ops": self.ops.port}
        self._runtime.log.info("ready", **{name: port for name, port in ports.items() if port})

    async def stop(self) -> None:
        """Down again: drain, stop, close, flush."""
        was_ready, self._state = self._state == "ready", "draining"
        self._ready_gauge.set(0)
        if self._server is not None:
            self._server.set_serving(False)
        if self._public is not None:
            self._public.drain()
        if was_ready:
            await asyncio.sleep(self._settings.drain_s)
        stops = [self._server.stop(self._settings.grace_s)] if self._server is not None else []
        if self._public is not None:
            stops.append(self._public.stop())
        await asyncio.gather(*stops, return_exceptions=True)
        await self._close()

    def _details(self) -> Sequence[str]:
        return self._service.details()  # of the service once it is built

    async def _open_ports(self) -> None:
        settings, runtime, service = self._settings, self._runtime, self._service
        callers = None if service.public else runtime.callers
        around = Surroundings(runtime.metrics, callers, runtime.tracing)
        address = f"[{settings.host}]" if ":" in settings.host else settings.host

        async def open_grpc() -> None:
            where, sockets = f"{address}:{settings.port}", settings.state / "run" / settings.room
            if service.public is not None:
                self._server = make_public_server(service.public, where, service.registrations, around, sockets)
            else:
                self._server = make_server(
                    settings.server, where, service.registrations, around, settings.max_message_bytes, sockets
                )
            await self._server.start()

        await _bound(open_grpc)
        if service.public_asgi is not None:
            from chassis.public.http import PublicHttp  # noqa: PLC0415 - only the gateway installs uvicorn

            self._public = PublicHttp(service.public_asgi, settings.host, settings.grace_s)
            await _bound(self._public.start)

    async def _close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        steps: list[Step] = [*self._service.close, *(channel.close for channel in self._runtime.channels)]
        for step in steps:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await step()
            except Exception as error:  # the others still want to be closed
                self._runtime.log.warning("close failed", step=_name(step), error=repr(error))
        self.ops.close()
        await asyncio.get_running_loop().run_in_executor(None, self._runtime.tracing.flush)
        self._runtime.log.info("stopped")

    async def _beat(self) -> None:
        """Shows the ops port's thread that this loop turns."""
        while True:
            self._beat_s = self._runtime.clock.monotonic_s()
            await asyncio.sleep(1)

    def _stuck(self) -> str:
        """Why this process should be started anew: its loop has not turned for minutes. Called in the ops port's thread."""
        late_s = self._runtime.clock.monotonic_s() - self._beat_s
        return f"the event loop has not turned for {late_s:.0f} s" if late_s > _STUCK_S else ""

    async def _keep(self, name: str, work: Step) -> None:
        """Runs background work for ever."""
        wait_s = 0.2
        restarts = self._runtime.metrics.counter(declared.BACKGROUND_RESTARTS).labels(name)
        while True:
            started = self._runtime.clock.monotonic_s()
            try:
                await work()
                return
            except Exception as error:
                self._runtime.log.error("background work failed", work=name, exc_info=error)
            restarts.inc()
            wait_s = 0.2 if self._runtime.clock.monotonic_s() - started > 30 else min(wait_s * 2, 5.0)
            await asyncio.sleep(wait_s)

    async def _retry(self, step: Step) -> None:
        """Awaits `step` until it returns: a dependency that is not there yet is waited for."""
        tries = 0
        while True:
            try:
                await step()
                return
            except Exception as error:
                if tries % 20 == 0:
                    shown = error.message if isinstance(error, MizzenError) else repr(error)
                    self._runtime.log.warning("waiting for a dependency", step=_name(step), error=shown)
            tries += 1
            await asyncio.sleep(min(0.05 * 2**tries, 0.5))


async def _unless(stop: asyncio.Event | None, work: asyncio.Future[Any]) -> bool:
    """Awaits `work`; False when `stop` was set before it ended."""
    if stop is None:
        await work
        return True
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopped, work), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not work.done():
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return False
    await work
    return True


async def _bound(start: Step) -> None:
    """Tries to bind for a second: the port's last owner may just be leaving."""
    for left in reversed(range(_PORT_TRIES)):
        try:
            await start()
            return
        except OSError:
            if not left:
                raise
            await asyncio.sleep(0.05)


def _name(step: Step) -> str:
    return getattr(step, "__qualname__", type(step).__name__)
