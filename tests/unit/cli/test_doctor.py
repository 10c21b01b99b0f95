"""Each check says what it found, and the one command that mends it."""

import socket
import sys
from pathlib import Path

import pytest

from cli.machine import doctor, ports
from cli.settings import Settings

GIB = 1024**3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state")


@pytest.mark.parametrize(
    ("version", "passes"), [("2.34", False), ("2.35", True), ("2.36", True), ("3.0", True), ("", False)]
)
def test_glibc(settings: Settings, version: str, passes: bool) -> None:
    finding = doctor.check_glibc(settings, version)
    assert finding.passed is passes
    assert passes or "2.35" in finding.mend


@pytest.mark.parametrize(("version", "passes"), [((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), False)])
def test_python(settings: Settings, version: tuple[int, int], passes: bool) -> None:
    finding = doctor.check_python(settings, version)
    assert finding.passed is passes
    assert passes or "PYTHON=python3.11" in finding.mend


def test_disk_is_asked_where_the_state_will_be(settings: Settings) -> None:
    assert doctor.check_disk(settings).passed
    short = doctor.check_disk(settings, free_bytes=GIB // 2)
    assert "0.5 GiB free" in short.found
    assert "MIZZEN_STATE" in short.mend


def test_memory(settings: Settings) -> None:
    assert doctor.check_memory(settings, 8 * GIB).passed
    assert "1.0 GiB available" in doctor.check_memory(settings, GIB).found


def test_bash_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    finding = doctor.check_bash(settings)
    assert not finding.passed
    assert "install bash" in finding.mend


def test_triton_venv_is_missing(tmp_path: Path) -> None:
    finding = doctor.check_triton(Settings(triton_venv=tmp_path))
    assert finding.mend == "make setup"


def test_a_taken_port_is_named_with_its_owner(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        owner = ports.owner(port)
        assert owner is not None
        assert owner.pid == _own_pid()
        assert Path(sys.executable).name.split(".")[0] in owner.command
        only = settings.model_copy(update={name: port for name in type(settings).model_fields if name == "valkey_port"})
        monkeypatch.setattr(type(settings), "ports", lambda _: {"valkey": port})
        finding = doctor.check_ports(only)
    assert f"{port} (valkey) is taken by process {_own_pid()}" in finding.found
    assert f"MIZZEN_VALKEY_PORT={port + 10_000}" in finding.mend
    assert doctor.check_ports(only).passed


def test_nobody_holds_a_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert ports.is_free(port)
    assert ports.owner(port) is None


def test_every_port_has_its_own_number(settings: Settings) -> None:
    numbers = list(settings.ports().values())
    assert len(numbers) == len(set(numbers)) == 16


def _own_pid() -> int:
    import os

    return os.getpid()
