"""How services share cores with what they call."""

import os
import subprocess
import sys

SCRIPT = """
import os, sys, threading
from chassis.scheduling import let_others_finish
os.sched_setscheduler(0, int(sys.argv[1]), os.sched_param(0))
let_others_finish()
found = [os.sched_getscheduler(0)]
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(*found)
"""


def policies(before: int) -> list[int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(before)], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_service_and_its_threads_wake_without_interrupting_others() -> None:
    assert policies(os.SCHED_OTHER) == [os.SCHED_BATCH, os.SCHED_BATCH]


def test_what_an_operator_chose_stays() -> None:
    assert policies(os.SCHED_IDLE) == [os.SCHED_IDLE, os.SCHED_IDLE]
