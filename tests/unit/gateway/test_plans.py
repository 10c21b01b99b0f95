"""Plans that are made of definitions."""

import pytest

from gateway.adapters.catalog_definitions import plans
from tests.fakes.features_service import DEFINITIONS, catalog_of

TENSORS = '{name: numeric, datatype: FP32, features: ["plane:age", "plane:seats"]}'
TEXT = '{name: text, datatype: BYTES, features: ["plane:band"]}, '


@pytest.mark.parametrize(
    ("references", "telling"),
    [
        # band is made of an input: it is there when the row is not
        ('["plane:seats", "plane:age"]', (1,)),
        ('["plane:age_per_seat"]', (0, 1)),
        ('["route_history:flown", "plane:age_per_seat"]', (1, 0, 2)),
    ],
)
def test_a_row_that_could_not_be_read_is_told_by_what_is_stored(references: str, telling: tuple[int, ...]) -> None:
    tensors = f"{TEXT}{{name: numeric, datatype: FP32, features: {references}}}"
    taken = "{name: tailnum, dtype: STRING}]\n  inputs: [{name: distance, dtype: FLOAT64}]\n  model:"
    assert taken in DEFINITIONS
    assert TENSORS in DEFINITIONS
    more = "{name: origin, dtype: STRING}, {name: number, dtype: INT64}, "
    text = DEFINITIONS.replace(TENSORS, tensors).replace(taken, more + taken)
    assert plans(catalog_of(text))["delay"].telling == telling
