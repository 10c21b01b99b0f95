"""What /proc tells about processes, read directly: few fields, often asked."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class LivingProcess:
    """`started` is in clock ticks since boot: with the pid it names one process of this boot for good."""

    pid: int
    group: int
    session: int
    started: int


def living(pid: int) -> LivingProcess | None:
    """None when there is no such process or only its zombie."""
    try:
        # The second field is the command's name in brackets and may hold anything, brackets and spaces included.
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return LivingProcess(pid, group=int(fields[2]), session=int(fields[3]), started=int(fields[19]))


def all_living() -> Iterator[LivingProcess]:
    """Every process that this one may see."""
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (found := living(int(folder.name))):
            yield found


def group_members(group: int) -> list[LivingProcess]:
    """The living processes of a group, zombies left out."""
    return [process for process in all_living() if process.group == group]


def boot_id() -> str:
    """Names this run of the kernel: process numbers and start times mean nothing in another."""
    with suppress(OSError):
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return ""
