"""`mizzen train` runs the project's script as the project wrote it, wherever it runs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


def test_a_projects_script_imports_its_neighbours_where_pythons_path_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "neighbour.py").write_text("WORD = 'trained'\n")
    (project / "train.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom neighbour import WORD\n"
        f"Path({str(tmp_path / 'said')!r}).write_text(WORD)\n"
    )
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("MIZZEN_STATE", str(tmp_path / "state"))
    answer = CliRunner().invoke(app, ["train", "-f", str(project)])
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "said").read_text() == "trained"
