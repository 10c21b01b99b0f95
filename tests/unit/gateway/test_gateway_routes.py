"""Rows become FastAPI routes that say the same as the table."""

from dataclasses import replace
from unittest.mock import MagicMock

import pytest

from gateway.api.app import described
from gateway.api.http.routes import fastapi_of, routes_of
from gateway.api.mizzen.labels.schema import LabelsRequest

TABLE = described()


def test_every_row_has_its_route() -> None:
    assert set(routes_of(fastapi_of(TABLE, MagicMock()))) == {(row.method, row.template) for row in TABLE}


@pytest.mark.parametrize("body", [None, LabelsRequest], ids=["none", "another"])
def test_a_row_that_shows_another_body_than_its_handler_takes_is_refused(body: type[LabelsRequest] | None) -> None:
    row = next(row for row in TABLE if row.template.endswith(":search"))
    with pytest.raises(ValueError, match="takes another body"):
        fastapi_of([replace(row, body=body)], MagicMock())
