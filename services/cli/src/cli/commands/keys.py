"""`mizzen key`: who may call the gateway."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chassis.api_keys import SCOPES, parse_expiry, parse_keys
from cli import keys
from cli.commands.platform import FAILED, plainly
from cli.machine.layout import Layout
from cli.screen import Screen
from cli.settings import Settings

HASH_SHOWN = 8
app = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)
File = Annotated[
    Path | None,
    typer.Option("--file", help="The key file; default MIZZEN_GATEWAY_API_KEYS_FILE, else keys/api-keys in the state."),
]


@app.command()
@plainly
def create(
    name: Annotated[str, typer.Argument(help="Who the key is for; the subject of its calls.")],
    tenant: Annotated[str, typer.Option(help="Tenant of its calls.")] = "default",
    scopes: Annotated[str, typer.Option(help="Comma-separated: read, infer, write, or * for all.")] = ",".join(SCOPES),
    expires: Annotated[str, typer.Option(help="Day (its start, UTC) or RFC 3339 instant at which it ends.")] = "",
    file: File = None,
) -> None:
    """Make a key, add its hash to the key file and print the key: it is shown this once."""
    installation = _installation()
    path = file or installation.file
    try:
        key = keys.create(
            path,
            installation.secret(),
            name,
            tenant=tenant,
            scopes=keys.scopes_of(scopes),
            expires=parse_expiry(expires) if expires else None,
        )
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    print(key)
    print(f"{name} is in {path}; the key itself is stored nowhere. {_effect(installation, path)}", file=sys.stderr)


@app.command(name="list")
@plainly
def list_keys(file: File = None) -> None:
    """Names, tenants, scopes and ends of all keys; exit status 1 where a line is wrong."""
    path, screen = file or _installation().file, Screen()
    if not path.exists():
        raise RuntimeError(f"there is no key file {path}: `mizzen key create NAME` makes it")
    lines = parse_keys(path.read_bytes())
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "tenant", "scopes", "ends", "hash"):
        table.add_column(heading)
    for _, key in lines.keys:
        ends = key.expires.isoformat() if key.expires else "never"
        table.add_row(key.name, key.tenant, ",".join(sorted(key.scopes)), ends, f"{key.hash[:HASH_SHOWN]}…")
    screen.console.print(table)
    for fault in lines.faults:
        screen.line(f"! {path}: {fault}", style="yellow")
    if lines.faults:
        raise typer.Exit(FAILED)


@app.command()
@plainly
def revoke(
    name: Annotated[str, typer.Argument(help="As `mizzen key list` shows it.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the key; needed where several have a key of this name.")] = "",
    file: File = None,
) -> None:
    """Take a key out of the key file; a running gateway refuses it within seconds."""
    path = file or _installation().file
    try:
        count = keys.revoke(path, name, tenant) if path.exists() else 0
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    whose = f"{name} of tenant {tenant}" if tenant else name
    if not count:
        raise RuntimeError(f"there is no key {whose} in {path}")
    print(f"{count} of {whose} revoked")


def _installation() -> keys.Installation:
    settings = Settings()
    layout = Layout(settings.state.absolute())
    layout.make()
    return keys.Installation(settings, layout)


def _effect(installation: keys.Installation, path: Path) -> str:
    if path != installation.file:
        return ""
    if installation.settings.api_keys_file is not None:
        return "A running gateway takes it within seconds."
    return "The next `mizzen up` asks for keys, as this file exists; from then on changes count within seconds."
