"""Run as a script (`python -I -S child.py PARENT SIGNAL UID NICENESS COMMAND…`): becomes COMMAND, tied to its parent's life.

The kernel sends SIGNAL when the parent dies, however it died (PR_SET_PDEATHSIG), so a killed supervisor leaves nothing
running. Only the standard library, and little of it: this runs at each start of each child.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop to UID where one is given ('-': stay), tie to the parent, then exec. Order matters: setuid clears the tie."""
    parent, death_signal = map(int, arguments[:2])
    uid, niceness, command = arguments[2], int(arguments[3]), arguments[4:]
    _be_nice(niceness)
    if uid != "-" and os.getuid() == 0:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(0)
    # Python ignores SIGPIPE, and ignored signals survive an exec: give the command the defaults it expects.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def _be_nice(niceness: int) -> None:
    """Of this process; and of its session, as Linux shares the CPU between sessions first where it groups them."""
    os.nice(niceness)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:  # noqa: PTH123 - pathlib is slow to import
        group.write(str(niceness))


if __name__ == "__main__":
    main(sys.argv[1:])
