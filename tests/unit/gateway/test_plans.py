"""Plans that are made of definitions."""

import pytest

from gateway.adapters.catalog_definitions import plans
from tests.fakes.features_service import DEFINITIONS, catalog_of

FEATURES = '["plane:age", "plane:seats"]'


@pytest.mark.parametrize(
    ("references", "telling"),
    [
        (
            '["plane:band", "plane:seats", "plane:age"]',
            (1,),
        ),  # band is made of an input: it is there when the row is not
        ('["plane:band", "plane:age_per_seat"]', (0, 1)),
        ('["plane:band", "route_history:flown", "plane:age_per_seat"]', (1, 0, 2)),
    ],
)
def test_a_row_that_could_not_be_read_is_told_by_what_is_stored(references: str, telling: tuple[int, ...]) -> None:
    text = DEFINITIONS.replace(FEATURES, references).replace(
        "  entities: [{name: tailnum, dtype: STRING}]\n  model:",
        "  entities: [{name: tailnum, dtype: STRING}, {name: origin, dtype: STRING}, {name: number, dtype: INT64}]\n  model:",
    )
    assert plans(catalog_of(text))["delay"].telling == telling
