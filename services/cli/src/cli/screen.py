"""What a person sees: live steps on a terminal, plain lines everywhere else."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.machine.supervision.status import SupervisorStatus

COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "unready": "red"}
PLAIN_WIDTH = 4_000


class Step:
    """One line of progress; `say` replaces its detail."""

    def __init__(self, screen: "Screen", title: str, task: TaskID | None) -> None:
        self._screen = screen
        self._title = title
        self._task = task
        self.detail = ""

    def say(self, detail: str) -> None:
        """Shown at once on a terminal, and with the step's end in a log."""
        self.detail = detail
        if self._task is not None:
            self._screen.progress.update(self._task, description=self._text("…"))

    def end(self, mark: str, seconds: float) -> None:
        if self._task is not None:
            self._screen.progress.remove_task(self._task)
        self._screen.line(f"{mark} {self._title} ({seconds:.1f} s){': ' + self.detail if self.detail else ''}")

    def _text(self, mark: str) -> str:
        return f"{self._title} {mark} [dim]{self.detail}[/dim]"


class Screen:
    """Steps may run at the same time, from several threads."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"
        self.console = Console(highlight=False, soft_wrap=True, width=None if self.terminal else PLAIN_WIDTH)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console, transient=True)
        self._lock = threading.Lock()

    def __enter__(self) -> "Screen":
        if self.terminal:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.terminal:
            self.progress.stop()

    def line(self, text: str, style: str | None = None) -> None:
        """One line that stays."""
        with self._lock:
            self.console.print(text, markup=False, style=style)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows that `title` runs, then how long it took; ✗ when it raises."""
        task = self.progress.add_task(f"{title} …", total=None) if self.terminal else None
        step = Step(self, title, task)
        started = time.monotonic()
        try:
            yield step
        except BaseException:
            step.end("✗", time.monotonic() - started)
            raise
        step.end("✓", time.monotonic() - started)


def status_table(status: SupervisorStatus) -> Table:
    """One row a child: state, ports, how long, restarts."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "state", "for", "restarts", "pid", "ports"):
        table.add_column(heading)
    for child in status.children.values():
        colour = COLOURS.get(child.state, "dim")
        again = f"{child.restarts} ({child.last_exit})" if child.restarts else "0"
        table.add_row(
            child.name,
            f"[{colour}]{child.state}[/{colour}]",
            elapsed(time.time() - child.since),
            again,
            str(child.pid or "–"),
            ", ".join(map(str, child.ports)),
        )
    return table


def elapsed(seconds: float) -> str:
    """3 s, 4 min, 5 h, 6 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
