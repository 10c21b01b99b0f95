"""What each command of `mizzen` does, in the order a newcomer meets them."""

import shutil
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from pydantic import ValidationError
from rich.live import Live

from chassis.errors import MizzenError
from chassis.settings import faults_of
from cli import definitions, jobs
from cli.keys import Installation
from cli.machine import doctor as examination
from cli.machine.bring_up import BringUp
from cli.machine.engines import postgres
from cli.machine.layout import Layout
from cli.machine.outside import known_outside
from cli.machine.supervision import control
from cli.machine.supervision.status import SupervisorStatus, is_held
from cli.public_api import ApiError
from cli.screen import Screen, status_table
from cli.settings import Settings

FAILED = 1
UNFIT = 3
INTERRUPTED = 130
DOWN_TIMEOUT_S = 90.0
TABLE_PERIOD_S = 0.5
EXPECTED = (
    definitions.Refused,
    control.StartFailed,
    jobs.JobFailed,
    ApiError,
    MizzenError,
    RuntimeError,
    FileNotFoundError,
)

P = ParamSpec("P")
Project = Annotated[Path, typer.Option("-f", "--file", help="Folder (or file) of definitions.")]


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Expected failures are sentences for people; anything else is a fault of ours and keeps its traceback."""

    @wraps(command)
    def shown(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except typer.Exit:  # a RuntimeError by birth, and no failure
            raise
        except ValidationError as error:
            print("\n".join(f"mizzen: {fault}" for fault in faults_of(error)), file=sys.stderr)
            raise typer.Exit(FAILED) from error
        except EXPECTED as error:
            print(f"mizzen: {error}", file=sys.stderr)
            raise typer.Exit(FAILED) from error

    return shown


@plainly
def up(
    project: Project = Path("examples/flights"),
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is ready; `mizzen down` ends it.")
    ] = False,
    question: Annotated[
        str, typer.Option(help="What to ask the first collection; the project's case by default.")
    ] = "",
) -> None:
    """Start everything for a folder of definitions, predict its example and answer a question."""
    started_at = time.monotonic()
    settings, screen = Settings(), Screen()
    layout = Layout(settings.state.absolute())
    for fault in Installation(settings, layout).check():
        screen.line(f"! {fault}", style="yellow")
    control.clean_up(layout)
    _examine_or_exit(settings, screen)
    was_running = control.running(layout) is not None
    try:
        with screen:
            BringUp(project, settings, layout, screen, started_at).run(question, in_front=not detach)
    except BaseException as error:
        if not was_running:
            _say_and_stop(layout, screen, error)
        raise
    if not detach:
        _stay_in_front(layout, screen)


@plainly
def down(
    delete: Annotated[bool, typer.Option("--delete-state", help="Delete everything that was stored, too.")] = False,
) -> None:
    """Drain every service and engine, and leave nothing running."""
    layout, screen = Layout(Settings().state.absolute()), Screen()
    if is_held(layout.lock) or layout.status.exists():
        with screen, screen.step("drained") as step:
            _stop(layout, step.say)
    else:
        screen.line("nothing was running")
    if delete:
        postgres.remove_outside(layout.postgres)
        shutil.rmtree(layout.state, ignore_errors=True)
        screen.line(f"{layout.state} is deleted")


@plainly
def status() -> None:
    """What runs, on which ports, for how long, and what had to be started again."""
    settings, screen = Settings(), Screen()
    now = control.running(Layout(settings.state.absolute()))
    if now is None:
        screen.line("not running: mizzen up -f DIR")
        raise typer.Exit(FAILED)
    screen.console.print(status_table(now))
    if not now.all_ready():
        raise typer.Exit(FAILED)


@plainly
def doctor() -> None:
    """Check this machine; each line that fails names the one command that mends it."""
    screen = Screen()
    findings = examination.examine(Settings())
    for finding in findings:
        screen.line(
            f"{'✓' if finding.passed else '✗'} {finding.check}: {finding.found}", None if finding.passed else "red"
        )
        if not finding.passed:
            screen.line(f"    {finding.mend}")
    if not all(finding.passed for finding in findings):
        raise typer.Exit(UNFIT)


@plainly
def validate(source: Project) -> None:
    """Check definitions as `mizzen apply` does, and change nothing; every mistake of every file is told."""
    settings, screen = Settings(), Screen()
    layout = Layout(settings.state.absolute())
    definitions.check_source(source, layout.state)
    examined = definitions.validate(source, layout.definitions, known_outside(source, layout))
    screen.line(f"{len(examined.found)} definitions are right")
    for sentence in examined.not_checked:
        screen.line(f"· {sentence}")


@plainly
def apply(source: Project) -> None:
    """Check definitions and give them to the running services; one that is wrong changes nothing."""
    settings, screen = Settings(), Screen()
    layout = Layout(settings.state.absolute())
    definitions.check_source(source, layout.state)
    layout.make()
    applied = definitions.apply(source, layout.definitions, known_outside(source, layout))
    for mark, names in (("+", applied.added), ("~", applied.changed)):
        for name in names:
            screen.line(f"{mark} {name.removesuffix('.yaml').replace('-', ' ', 1)}")
    screen.line(f"{applied}")
    for sentence in applied.not_checked:
        screen.line(f"· {sentence}")
    for error in applied.catalog.errors:
        screen.line(f"! {error}", style="yellow")


def _examine_or_exit(settings: Settings, screen: Screen) -> None:
    unfit = [finding for finding in examination.examine(settings) if not finding.passed]
    for finding in unfit:
        screen.line(f"✗ {finding.check}: {finding.found}", style="red")
        screen.line(f"    {finding.mend}")
    if unfit:
        raise typer.Exit(UNFIT)


def _say_and_stop(layout: Layout, screen: Screen, error: BaseException) -> None:
    """A start that failed or was interrupted leaves nothing behind but its logs."""
    if control.running(layout) is None and not layout.status.exists():
        return
    screen.line("interrupted: draining" if isinstance(error, KeyboardInterrupt) else "did not come up: draining")
    _stop(layout, lambda _: None)


def _stay_in_front(layout: Layout, screen: Screen) -> None:
    """A live table until Ctrl-C, a closed terminal or the supervisor's end; then nothing is left."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    screen.line("\nCtrl-C ends everything.")
    try:
        if screen.terminal:
            with Live(console=screen.console, auto_refresh=False) as live:
                while (now := control.running(layout)) is not None:
                    live.update(status_table(now), refresh=True)
                    time.sleep(TABLE_PERIOD_S)
        while control.running(layout) is not None:
            time.sleep(TABLE_PERIOD_S)
    except KeyboardInterrupt:
        screen.line("draining")
        _stop(layout, lambda _: None)


def _stop(layout: Layout, say: Callable[[str], None]) -> None:
    def tell(now: SupervisorStatus) -> None:
        left = [name for name, child in now.children.items() if child.state != "stopped"]
        say(f"waiting for {', '.join(left)}" if left else "")

    killed = control.stop(layout, DOWN_TIMEOUT_S, tell)
    say(f"killed what an earlier crash left: {', '.join(killed)}" if killed else "nothing is left")
