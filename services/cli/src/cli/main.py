"""The `mizzen` command."""

import sys

import typer

from cli import commands, job_commands, key_commands

app = typer.Typer(
    name="mizzen",
    help="Mizzen on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(commands.up)
app.command()(commands.down)
app.command()(commands.status)
app.command()(commands.doctor)
app.command()(commands.apply)
app.command()(job_commands.materialize)
app.command()(job_commands.ingest)
app.command()(job_commands.train)
app.command()(job_commands.publish)
app.add_typer(key_commands.app, name="key")


def main() -> None:
    """Exit status: 0 done, 1 failed, 2 wrong usage, 3 this machine lacks something (`mizzen doctor`), 130 interrupted."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
