"""`mizzen key`: who may call the gateway."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chassis.api_keys import SCOPES, parse_expiry, parse_keys
from cli import keys
from cli.commands.platform import FAILED, plainly
from cli.machine.layout import Layout
from cli.public_api import AdminApi
from cli.screen import Screen
from cli.settings import Settings

HASH_SHOWN = 8
COLUMNS = ("name", "tenant", "scopes", "ends")
SCOPES_HELP = "Comma-separated: read, infer, write, or * for these; admin, with --control, for the admin API."
TAKEN = "A running gateway takes it within seconds."
Control = Annotated[
    bool,
    typer.Option(
        "--control", help="In control's database, through its admin API (MIZZEN_ADMIN_URL), not in the key file."
    ),
]
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
    scopes: Annotated[str, typer.Option(help=SCOPES_HELP)] = ",".join(SCOPES),
    expires: Annotated[str, typer.Option(help="Day (its start, UTC) or RFC 3339 instant at which it ends.")] = "",
    file: File = None,
    control: Control = False,
) -> None:
    """Make a key, keep its hash and print the key: it is shown this once."""
    installation = _installation()
    if control:
        ends = _expiry(expires)
        wanted = {
            "name": name,
            "tenant": tenant,
            "scopes": [each for part in scopes.split(",") if (each := part.strip())],
        }
        print(_admin(installation, file).create_key(wanted | ({"expires": ends.isoformat()} if ends else {})))
        print(f"{name} is in control's database; the key itself is stored nowhere. {TAKEN}", file=sys.stderr)
        return
    path = file or installation.file
    try:
        key = keys.create(
            path,
            installation.secret(),
            name,
            tenant=tenant,
            scopes=keys.scopes_of(scopes),
            expires=_expiry(expires),
        )
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    print(key)
    print(f"{name} is in {path}; the key itself is stored nowhere. {_effect(installation, path)}", file=sys.stderr)


@app.command(name="list")
@plainly
def list_keys(file: File = None, control: Control = False) -> None:
    """Names, tenants, scopes and ends of all keys; exit status 1 where a line is wrong."""
    installation, screen = _installation(), Screen()
    if control:
        found = _admin(installation, file).keys()
        rows = [
            (key["name"], key["tenant"], ",".join(key["scopes"]), key["expires"] or "never", key["created_by"])
            for key in found
        ]
        screen.console.print(_table((*COLUMNS, "made by"), rows))
        return
    path = file or installation.file
    if not path.exists():
        raise RuntimeError(f"there is no key file {path}: `mizzen key create NAME` makes it")
    lines = parse_keys(path.read_bytes())
    shown = [
        (key.name, key.tenant, ",".join(sorted(key.scopes)), key.expires.isoformat() if key.expires else "never",
         f"{key.hash[:HASH_SHOWN]}…")
        for _, key in lines.keys
    ]  # fmt: skip
    screen.console.print(_table((*COLUMNS, "hash"), shown))
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
    control: Control = False,
) -> None:
    """Take a key away; a running gateway refuses it within seconds."""
    installation = _installation()
    if control:
        _revoke_at(_admin(installation, file), name, tenant)
        return
    path = file or installation.file
    try:
        count = keys.revoke(path, name, tenant) if path.exists() else 0
    except ValueError as error:
        raise RuntimeError(str(error)) from None
    whose = f"{name} of tenant {tenant}" if tenant else name
    if not count:
        raise RuntimeError(f"there is no key {whose} in {path}")
    print(f"{count} of {whose} revoked")


def _revoke_at(api: AdminApi, name: str, tenant: str) -> None:
    found = [key for key in api.keys(tenant) if key["name"] == name]
    tenants = sorted(key["tenant"] for key in found)
    if not found:
        raise RuntimeError(f"there is no key {name}{f' of tenant {tenant}' if tenant else ''} in control's database")
    if len(found) > 1:
        raise RuntimeError(f"the key {name} is in several tenants ({', '.join(tenants)}): name one with --tenant")
    api.revoke_key(found[0]["id"])
    print(f"{name} of tenant {tenants[0]} revoked")


def _admin(installation: keys.Installation, file: Path | None) -> AdminApi:
    if file is not None:
        raise RuntimeError("--file and --control: a key is in one of them")
    settings = installation.settings
    key = settings.admin_key_file.read_text(encoding="utf-8").strip() if settings.admin_key_file else ""
    if not settings.admin_url and not key and installation.needed:
        key = installation.own_key()
    return AdminApi(settings.admin(), api_key=key)


def _expiry(text: str) -> datetime | None:
    try:
        return parse_expiry(text) if text else None
    except ValueError as error:
        raise RuntimeError(f"--expires {text}: {error}") from None


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    return table


def _installation() -> keys.Installation:
    settings = Settings()
    layout = Layout(settings.state.absolute())
    layout.make()
    return keys.Installation(settings, layout)


def _effect(installation: keys.Installation, path: Path) -> str:
    if path != installation.file:
        return ""
    if installation.settings.api_keys_file is not None:
        return TAKEN
    return "The next `mizzen up` asks for keys, as this file exists; from then on changes count within seconds."
