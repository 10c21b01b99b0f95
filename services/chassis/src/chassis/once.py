"""Work that a process does once before it ends, an init container's for example."""

import asyncio

from chassis.errors import MizzenError, Unavailable
from chassis.lifecycle import Step
from chassis.settings import ServiceSettings
from chassis.telemetry import logs

_PAUSE_S = 0.5
_TOLD_EVERY = 20


def run_once(settings: ServiceSettings, work: Step) -> int:
    """Does `work` and answers the exit status: 0 when it is done, 1 when it is refused. A dependency is waited for."""
    logs.setup(settings.room, settings.log_level)
    return asyncio.run(_done(work))


async def _done(work: Step) -> int:
    log, tries = logs.logger("chassis.once"), 0
    while True:
        try:
            await work()
            return 0
        except Unavailable as error:
            if tries % _TOLD_EVERY == 0:
                log.warning("waiting for a dependency", error=error.message)
        except MizzenError as error:
            log.error("refused", error=error.message, reason=error.reason)
            return 1
        tries += 1
        await asyncio.sleep(_PAUSE_S)
