"""Run as a module beside the supervisor: waits until it ends, then ends what it left if it was killed.

Death signals reach the children themselves; this reaches their children (Triton's stubs) and shared memory.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from cli.machine.layout import Layout
from cli.machine.supervision.orphans import end_orphans
from cli.machine.supervision.status import read_status

PATIENCE_S = 8.0
LOCK_S = 1.0


def main(arguments: list[str]) -> int:
    """STATE PIPE: the pipe's other end is the supervisor's; end of file means that it is gone."""
    layout = Layout(Path(arguments[0]))
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.read(int(arguments[1]), 1)
    if not layout.status.exists():  # it ended in order
        return 0
    # A `mizzen up` right after the kill waits for this lock, so two never clean and start at the same time.
    with layout.lock.open("r") as file:
        if not _taken(file.fileno()):  # a new supervisor is already at work, and cleaned up before it started
            return 0
        status = read_status(layout.status)
        if status is not None and status.children:
            end_orphans(status, PATIENCE_S)
            layout.status.unlink(missing_ok=True)
    return 0


def _taken(lock: int) -> bool:
    """Whether the lock came free: a dying process closes its files one by one, so its pipe may end before its lock."""
    give_up = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
