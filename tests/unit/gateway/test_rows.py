"""A request's rows are bounded once, by its first column, and every column has as many."""

import pytest

from chassis.errors import InvalidArgument
from gateway.domain.rows import Rows


def test_columns_of_as_many_rows_are_taken() -> None:
    rows = Rows(3)
    rows.see(3, "entities.a")
    rows.see(3, "inputs.b")
    assert rows.count == 3


@pytest.mark.parametrize(
    ("columns", "reason", "field"),
    [([], "NO_ROWS", "entities"), ([0], "NO_ROWS", "entities"), ([4], "TOO_MANY_ROWS", "c[0]"), ([2, 0], "ROWS_DIFFER", "c[1]"),
     ([2, 9], "ROWS_DIFFER", "c[1]")],
)  # fmt: skip
def test_other_numbers_are_refused_where_they_stand(columns: list[int], reason: str, field: str) -> None:
    rows = Rows(3)
    with pytest.raises(InvalidArgument) as caught:
        for index, count in enumerate(columns):
            rows.see(count, f"c[{index}]")
        assert rows.count
    assert (caught.value.reason, caught.value.field) == (reason, field)
