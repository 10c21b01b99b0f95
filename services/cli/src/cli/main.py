"""The `mizzen` command."""

import sys

import typer

from cli.commands import jobs, keys, platform

app = typer.Typer(
    name="mizzen",
    help="Mizzen on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(platform.up)
app.command()(platform.down)
app.command()(platform.status)
app.command()(platform.doctor)
app.command()(platform.validate)
app.command()(platform.apply)
app.command()(jobs.materialize)
app.command()(jobs.ingest)
app.command()(jobs.train)
app.command()(jobs.publish)
app.add_typer(keys.app, name="key")


def main() -> None:
    """Exit status: 0 done, 1 failed, 2 wrong usage, 3 this machine lacks something (`mizzen doctor`), 130 interrupted."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
