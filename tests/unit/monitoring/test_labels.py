"""Which labels can be stored: whatever is not refused by name is a UUID for PostgreSQL as well."""

import re
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from monitoring.domain.labels import TakeLabels
from monitoring.domain.model import Label, Stored
from tests.fakes.monitoring_records import START_US, request_ids

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
(GOOD,) = request_ids(1)


class Store:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.labels: list[Label] = []

    async def put(self, tenant: str, labels: Sequence[Label], timeout_s: float) -> Stored:
        self.labels.extend(labels)
        return Stored(len(labels), 0)


class Surroundings:
    """Definitions with one output, and metrics that nobody reads."""

    def outputs(self) -> frozenset[str]:
        return frozenset({"probability"})

    def labels(self, *_: object) -> None:
        return None


uuids = st.uuids().map(str)
almost = st.one_of(
    uuids, uuids.map(str.upper), uuids.map(lambda each: each.replace("-", "")), uuids.map("{{{}}}".format)
)


@given(st.one_of(st.text(max_size=40), almost, almost.map("urn:uuid:".__add__)))
@example("")
@example(" ")
@example("\0")
async def test_one_label_is_refused_by_name_and_the_others_are_stored(request_id: str) -> None:
    store, around = Store(), Surroundings()
    anything: Any = around
    verb = TakeLabels(store, anything, anything)  # type: ignore[arg-type]
    labels = [Label(each, 0, "probability", 1.0, START_US) for each in (GOOD, request_id, GOOD)]
    stored, errors = await verb.put("default", labels, 1.0)
    assert errors[0] is None
    assert errors[2] is None
    if UUID.fullmatch(request_id):
        assert errors[1] is None
        assert stored == Stored(3, 0)
    else:
        assert errors[1] is not None
        assert (errors[1].reason, errors[1].field) == ("BAD_REQUEST_ID", "labels[1].request_id")
        assert [label.request_id for label in store.labels] == [GOOD, GOOD]
