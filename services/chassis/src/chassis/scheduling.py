"""How the kernel shares a core between a service and what it calls."""

import contextlib
import os


def let_others_finish() -> None:
    """Wakes without interrupting who runs (SCHED_BATCH, sched(7)), for this process and the threads it starts; needs no privilege.

    A service is woken for each packet. At three times the peak that is thousands of times a second, and each interruption empties
    the caches of both (ADR 0020). Whoever runs goes on for its slice, a few milliseconds, and then all that has come is done at
    once. On an idle core nothing changes. Any other policy than the usual one (SCHED_OTHER) that was set before stays.
    """
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or not allowed: it works all the same, less well
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
