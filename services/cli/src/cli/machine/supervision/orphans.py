"""Ending what a supervisor left that had no chance to drain."""

import time

from cli.machine.kernel import boot_id, group_members, living
from cli.machine.processes import POLL_S, end_group, sweep_shared_memory
from cli.machine.supervision.status import ChildStatus, SupervisorStatus


def end_orphans(status: SupervisorStatus, patience_s: float) -> list[str]:
    """Wait `patience_s` for the groups to end (their parent's death told them to), kill the rest, sweep shared memory.

    Returns the names of the children that had to be killed.
    """
    give_up = time.monotonic() + patience_s
    same_boot = status.boot == boot_id()
    left = [child for child in status.children.values() if same_boot and _ours(child)]
    # Only a leader was told to end; what outlived its leader never will by itself.
    while any(living(child.pid) for child in left) and time.monotonic() < give_up:
        time.sleep(POLL_S * 5)
    left = [child for child in left if _ours(child)]
    for child in left:
        end_group(child.pid)
    for child in status.children.values():
        sweep_shared_memory(child.shm_prefix)
    return [child.name for child in left]


def _ours(child: ChildStatus) -> bool:
    """Whether the group lives and is the one that was started, not a later one that got the same number."""
    if not child.pid:
        return False
    leader = living(child.pid)
    if leader is not None:
        return leader.started == child.started
    # A session's number is not given to another while a member lives, so members without a leader are the old ones.
    members = group_members(child.pid)
    return any(member.session == child.pid and member.started >= child.started for member in members)
