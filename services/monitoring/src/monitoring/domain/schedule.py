"""Background steps that go on whatever happens to them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from chassis.errors import MizzenError
from monitoring.domain.ports import Metrics

_log = logging.getLogger(__name__)
_BACKOFF_S = (0.2, 2.0)


async def repeat(task: str, step: Callable[[], Awaitable[object]], every_s: float, metrics: Metrics) -> None:
    """Runs `step` again and again, `every_s` seconds apart (0: at once), until cancelled. A failed step is counted, logged and
    tried again after a growing pause."""
    pause_s = _BACKOFF_S[0]
    while True:
        try:
            await step()
        except MizzenError as error:
            _log.warning("%s: %s (%s)", task, error, error.reason)
        except Exception:
            _log.exception("%s failed", task)
        else:
            pause_s = _BACKOFF_S[0]
            await asyncio.sleep(every_s)
            continue
        metrics.failed(task)
        await asyncio.sleep(max(every_s, pause_s))
        pause_s = min(pause_s * 2, _BACKOFF_S[1])
