"""How late the event loop comes to what is due: the queue that requests of a single-threaded process wait in.

Requests pile up in sockets and in the loop itself, where no list could be counted; a timer that comes late waited with them.
"""

import asyncio
import time
from collections.abc import Callable

from chassis.lifecycle import Runtime
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.domain.admission import Admission
from gateway.settings import Settings

_EVERY_S = 0.01
_EVERY_CALM_S = 0.2


def admission_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[Admission]:
    """Admission as the settings bound it, told of the loop's lag by a task."""
    settings = runtime.settings
    queue_s, lag_s, most = settings.queue_ms / 1e3, settings.lag_ms / 1e3, settings.max_in_flight
    admission = Admission(runtime.clock, seen.admission, queue_s=queue_s, lag_s=lag_s, most=most)
    process = admission.process
    seen.admission.in_flight.set_function(lambda: process.in_flight)
    return Part(admission, background=[("lag", lambda: watch(admission.lagged, lambda: process.in_flight > 0))])


async def watch(lagged: Callable[[float], None], busy: Callable[[], bool]) -> None:
    """Tells `lagged` how many seconds late the loop was, for ever: a hundred times a second while `busy`, else five times.

    An idle process that wakes a hundred times a second uses so much CPU that an autoscaler keeps it.
    """
    while True:
        every_s = _EVERY_S if busy() else _EVERY_CALM_S
        due = time.monotonic() + every_s
        await asyncio.sleep(every_s)
        lagged(max(0.0, time.monotonic() - due))
