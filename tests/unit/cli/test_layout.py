"""What a state directory lets others see: nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from catalog import STATE_MARK
from cli.machine.layout import OWN, Layout

NOBODY = 65534


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def passable() -> int:
    return 0o711 if os.getuid() == 0 else 0o700


@pytest.mark.parametrize("before", [None, 0o755, 0o777])
def test_the_state_is_closed_to_others(tmp_path: Path, before: int | None) -> None:
    state = tmp_path / "state"
    if before is not None:  # an earlier version left its folders open
        for folder in (state, state / "keys", state / "logs"):
            folder.mkdir()
            folder.chmod(before)
    Layout(state).make()
    assert mode(state) == passable()
    closed = {name: mode(state / name) for name in OWN if name != "postgres"}
    assert set(closed.values()) == {0o700}, closed
    assert mode(state / "postgres") == passable()
    assert (state / STATE_MARK).exists()


def test_a_folder_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    tmp_path.chmod(0o751)
    Layout(tmp_path).make()
    assert mode(tmp_path) == 0o751
    assert mode(tmp_path / "keys") == 0o700


def test_another_user_sees_nothing_of_it(engine_directory: Path) -> None:
    layout = Layout(engine_directory / "closed")
    layout.make()
    (layout.keys / "service.secret").write_text("secret")
    (layout.logs / "gateway.log").write_text("line")
    looked_at = [
        layout.state,
        *(layout.state / name for name in OWN),
        layout.keys / "service.secret",
        layout.logs / "gateway.log",
    ]
    command = ["sh", "-c", 'ls -A "$@" 2>/dev/null; cat "$@" 2>/dev/null; echo looked', "sh", *map(str, looked_at)]
    other = NOBODY if os.getuid() == 0 else None
    seen = subprocess.run(command, user=other, capture_output=True, text=True, check=True).stdout
    assert (seen == "looked\n") is (other is not None)
