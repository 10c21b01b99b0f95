"""How late the event loop comes to what is due: the queue that requests of a single-threaded process wait in.

Requests pile up in sockets and in the loop itself, where no list could be counted; a timer that comes late waited with them.
"""

import asyncio
import time
from collections.abc import Callable

_EVERY_S = 0.01


async def watch(lagged: Callable[[float], None]) -> None:
    """Tells `lagged` a hundred times a second how many seconds late the loop was, for ever."""
    while True:
        due = time.monotonic() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        lagged(max(0.0, time.monotonic() - due))
