"""`mizzen key` and the key that the command shows: what is written, who may read it, and what is refused before anything starts."""

import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.api_keys import key_hash, parse_keys
from chassis.clock import SystemClock
from chassis.telemetry.logs import logger
from cli import answers, keys
from cli.machine import plan
from cli.machine.layout import Layout
from cli.settings import Settings
from gateway.adapters.file_keys import FileKeys
from tests.unit.cli.test_answers import CASE

SECRET = bytes(32)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("MIZZEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MIZZEN_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def installation() -> keys.Installation:
    settings = Settings()
    layout = Layout(settings.state)
    layout.make()
    return keys.Installation(settings, layout)


def mizzen(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


def gateway(*files: Path, secret: Path) -> FileKeys:
    return FileKeys(files, secret, SystemClock(), grace_s=300, log=logger("test"))


def test_a_key_is_made_used_listed_and_revoked(state: Path) -> None:
    made = mizzen("key", "create", "shop", "--tenant", "acme", "--scopes", "infer", "--expires", "2999-12-31")
    key = made.stdout.strip()
    assert (made.returncode, bool(re.fullmatch(r"mzn_[\w-]{43}", key))) == (0, True), made.stderr
    path = state / "keys" / "api-keys"
    assert (path.stat().st_mode & 0o777, key in path.read_text(), key in made.stderr) == (0o600, False, False)
    assert "mizzen up" in made.stderr
    other = mizzen("key", "create", "batch").stdout.strip()
    caller = gateway(path, secret=state / "keys/service.secret").caller(key)
    assert (caller.tenant, caller.subject, caller.scopes) == ("acme", "shop", frozenset({"infer"}))

    listed = mizzen("key", "list")
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["shop", "acme", "infer"],
        ["batch", "default", "infer,read,write"],
    ]
    assert not re.search(r"[0-9a-f]{9}", listed.stdout), "no hash as a whole"

    assert mizzen("key", "revoke", "shop").returncode == 0
    left = gateway(path, secret=state / "keys/service.secret")
    assert (left.count(), left.caller(other).subject) == (1, "batch")
    again = mizzen("key", "revoke", "shop")
    assert (again.returncode, f"there is no key shop in {path}" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("shop",), "has a key shop already"),
        (("Shop!",), "the name is not"),
        (("x", "--tenant", "Ac me"), "the tenant is not"),
        (("x", "--scopes", "raed"), "name some of read, infer, write"),
        (("x", "--expires", "soon"), "the expiry is no day"),
        (("x", "--expires", "2020-01-01"), "the expiry is in the past"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_nothing_changes(
    state: Path, arguments: tuple[str, ...], reason: str
) -> None:
    made = installation()
    keys.create(made.file, SECRET, "shop", tenant="default", scopes=frozenset({"read"}))
    before = made.file.read_bytes()
    refused = mizzen("key", "create", *arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert reason in refused.stderr
    assert made.file.read_bytes() == before


def test_all_else_in_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "real" / "keys"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf# ours\r\nwrong line\r\nold:acme:bad:line\r\nlast:acme:read:" + b"0" * 64)
    link = tmp_path / "link"
    link.symlink_to(path)
    keys.create(link, SECRET, "new", tenant="acme", scopes=frozenset({"read"}))
    assert link.is_symlink()
    assert path.read_bytes().startswith(b"\xef\xbb\xbf# ours\r\nwrong line\r\n")
    assert {key.name for _, key in parse_keys(path.read_bytes()).keys} == {"last", "new"}
    assert keys.revoke(link, "old") == 1, "a wrong line of that name goes as well"
    assert keys.revoke(link, "last") == 1
    assert {key.name for _, key in parse_keys(path.read_bytes()).keys} == {"new"}
    assert path.read_bytes().startswith(b"\xef\xbb\xbf# ours\r\nwrong line\r\n")


def test_a_name_that_several_tenants_have_is_revoked_for_the_named_one_alone(state: Path) -> None:
    made = installation()
    line = parse_line("shop", "acme", "1")
    made.file.write_text(f"{line}\n{parse_line('shop', 'bolt', '2')}\n{parse_line('other', 'bolt', '3')}\n")
    before = made.file.read_bytes()
    refused = mizzen("key", "revoke", "shop")
    assert (refused.returncode, made.file.read_bytes() == before) == (1, True)
    assert "the key shop is in several tenants (acme, bolt): name one with --tenant" in " ".join(refused.stderr.split())
    nobody = mizzen("key", "revoke", "shop", "--tenant", "cube")
    assert (nobody.returncode, made.file.read_bytes() == before) == (1, True)
    assert "there is no key shop of tenant cube" in nobody.stderr
    assert mizzen("key", "revoke", "shop", "--tenant", "bolt").stdout == "1 of shop of tenant bolt revoked\n"
    assert [(key.name, key.tenant) for _, key in parse_keys(made.file.read_bytes()).keys] == [
        ("shop", "acme"),
        ("other", "bolt"),
    ]
    assert mizzen("key", "revoke", "shop").returncode == 0, "one tenant has it now"


def parse_line(name: str, tenant: str, digit: str) -> str:
    return f"{name}:{tenant}:read:{digit * 64}"


def test_a_key_on_the_first_line_behind_a_byte_order_mark_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys.create(path, SECRET, "first", tenant="acme", scopes=frozenset({"read"}))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [key.name for _, key in parse_keys(path.read_bytes()).keys] == ["first"]
    assert keys.revoke(path, "first") == 1
    assert path.read_bytes() == b"\xef\xbb\xbf"


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    names = [f"key-{number}" for number in range(12)]

    def make(name: str) -> None:
        keys.create(path, SECRET, name, tenant="default", scopes=frozenset({"read"}))

    threads = [threading.Thread(target=make, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for _, key in parse_keys(path.read_bytes()).keys} == set(names)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "laptop.lan", ""])
def test_another_host_needs_keys_before_anything_starts(state: Path, host: str) -> None:
    refused = mizzen("up", "-f", "examples/flights", MIZZEN_HOST=host)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"MIZZEN_HOST={host} is not loopback" in refused.stderr
    assert "mizzen key create NAME" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not state.exists(), "nothing was made, and nothing started"


def test_the_gateway_alone_refuses_another_host_in_a_sentence(state: Path) -> None:
    command = [sys.executable, "-m", "gateway"]
    variables = {**os.environ, "MIZZEN_HOST": "0.0.0.0"}
    refused = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert refused.stderr.startswith("MIZZEN_HOST=0.0.0.0 is not loopback, so API keys are needed")


def test_a_wrong_setting_is_a_sentence(state: Path) -> None:
    refused = mizzen("status", MIZZEN_GATEWAY_REST_PORT="many")
    assert (refused.returncode, refused.stderr.startswith("mizzen: MIZZEN_GATEWAY_REST_PORT: ")) == (1, True)
    assert refused.stderr.count("\n") == 1


def test_key_files_are_checked_before_anything_starts(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation().check() == []
    path = state / "elsewhere"
    monkeypatch.setenv("MIZZEN_GATEWAY_API_KEYS_FILE", str(path))
    with pytest.raises(RuntimeError, match="`mizzen key create NAME` makes it"):
        installation().check()
    key = keys.create(path, installation().secret(), "app", tenant="default", scopes=frozenset({"*"}))
    with path.open("a") as file:
        file.write("oops\n")
    assert installation().check() == [f"{path}: line 2: is not name:tenant:scopes:hash"]
    monkeypatch.setenv("MIZZEN_API_KEY", key)
    installation().check()
    monkeypatch.setenv("MIZZEN_API_KEY", "of another installation")
    with pytest.raises(RuntimeError, match="MIZZEN_API_KEY is no key of"):
        installation().check()


def test_the_command_has_a_key_of_its_own_where_keys_are_asked_for(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installation().shown_key() == ""
    keys.create(installation().file, installation().secret(), "app", tenant="acme", scopes=frozenset({"*"}))
    own = installation().shown_key()
    assert installation().shown_key() == own, "the same next time"
    files = [state / "keys" / name for name in ("own-api-keys", "own-api-key")]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    told = gateway(files[0], state / "keys/api-keys", secret=state / "keys/service.secret").caller(own)
    assert (told.tenant, told.subject, told.scopes) == ("default", "mizzen-up", frozenset({"read", "infer", "write"}))
    monkeypatch.setenv("MIZZEN_GATEWAY_URL", "https://elsewhere.example")
    assert installation().shown_key() == "", "it is for this machine's gateway only"
    monkeypatch.setenv("MIZZEN_API_KEY", "given")
    assert installation().shown_key() == "given"


def test_only_the_gateway_leaves_loopback_and_only_it_gets_keys(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create(installation().file, installation().secret(), "app", tenant="acme", scopes=frozenset({"*"}))
    monkeypatch.setenv("MIZZEN_HOST", "0.0.0.0")
    monkeypatch.setenv("MIZZEN_API_KEY", "a secret of the command")
    specs = {spec.name: spec for spec in plan.services(Settings(), Layout(state))}
    assert {name: spec.env["MIZZEN_HOST"] for name, spec in specs.items()} == {
        "features": "127.0.0.1", "retrieval": "127.0.0.1", "monitoring": "127.0.0.1", "control": "127.0.0.1",
        "gateway": "0.0.0.0",
    }  # fmt: skip
    assert {name for name, spec in specs.items() if "MIZZEN_GATEWAY_OWN_KEYS_FILE" in spec.env} == {"gateway"}
    admins = {name: spec.env.get("MIZZEN_CONTROL_ADMIN_KEY_FILE") for name, spec in specs.items()}
    assert {name: file for name, file in admins.items() if file} == {"control": str(state / "keys/own-api-key")}
    assert not [name for name, spec in specs.items() if "a secret of the command" in spec.env.values()]
    assert specs["gateway"].ready.host == "127.0.0.1"
    monkeypatch.setenv("MIZZEN_HOST", "::1")
    assert {spec.name: spec.ready.host for spec in plan.services(Settings(), Layout(state))}["gateway"] == "::1"
    assert Settings().gateway() == "http://[::1]:8080"


def test_lines_to_paste_show_a_key_and_no_secret(state: Path) -> None:
    lines = answers.try_lines(Settings(), CASE, "handbook", "Why?", state / "keys" / "own-api-key")
    assert lines[0] == f"export MIZZEN_API_KEY=$(cat {state}/keys/own-api-key)"
    assert all('-H "Authorization: Bearer $MIZZEN_API_KEY"' in line for line in lines[1:])


def test_a_key_is_of_its_installation_and_time(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    ends = datetime(2999, 1, 1, tzinfo=UTC)
    key = keys.create(path, SECRET, "app", tenant="default", scopes=frozenset({"read"}), expires=ends)
    ((_, line),) = parse_keys(path.read_bytes()).keys
    assert (line.hash, line.expires) == (key_hash(SECRET, key), ends)
    assert line.hash != key_hash(b"another" * 4, key)
