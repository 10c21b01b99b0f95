"""`mizzen up` makes a project's tables after its definitions were taken: stored SQL is then bound, before a job runs it."""

import os
from pathlib import Path

import pytest

from cli import definitions
from cli.machine.done import Done
from cli.machine.layout import Layout
from cli.machine.outside import known_outside
from cli.machine.up import Prepared, fill_features
from cli.screen import Screen
from tests.unit.cli.bicycles import COLUMNS, VIEWS

DATA = """\
import sys
from pathlib import Path
import duckdb
folder = Path(sys.argv[2]) / "bikes"
folder.mkdir(parents=True, exist_ok=True)
duckdb.sql(f"COPY (SELECT %s) TO '{folder}/loans.parquet'")
"""


def test_stored_sql_is_told_at_its_line_once_there_are_tables(tmp_path: Path) -> None:
    project, layout = tmp_path / "project", Layout(tmp_path / "state")
    project.mkdir()
    layout.make()
    (project / "data.py").write_text(DATA % COLUMNS.replace("\n", " "))
    (project / "views.yaml").write_text(VIEWS.replace("docks, district\n", "doks, district\n"))
    applied = definitions.apply(project, layout.definitions, known_outside(project, layout), exactly=True)
    assert applied.not_checked == ("stored SQL of 1 feature views isn't bound: their tables are not known here (yet)",)
    prepared = Prepared(applied.catalog, [], dict(os.environ), applied)
    with pytest.raises(
        definitions.Refused, match=r"views\.yaml:14: spec\.source\.sql: there is no column doks: did you mean"
    ):
        fill_features(project, prepared, layout, Screen(), Done.of(layout))
