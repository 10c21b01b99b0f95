"""The replay: who is asked when, with what, and when truth comes in. And the first case."""

from datetime import UTC, datetime
from pathlib import Path

from case import case
from replay import HOUR_US, MILE_KM, Truth, batches, instant_us, rfc3339
from training_set import LEAD_HOURS

FROM = instant_us(datetime(2013, 2, 8, tzinfo=UTC))
DAY = 24 * HOUR_US


def test_each_hour_is_one_batch_asked_two_hours_before(offline: Path) -> None:
    found = list(batches(offline, FROM, FROM + DAY, None))
    assert 15 < len(found) <= 24
    for batch in found:
        hours = {instant_us(flight["sched_dep"]) // HOUR_US for flight in batch.rows}
        assert hours == {batch.as_of_us // HOUR_US + LEAD_HOURS}
        assert batch.body["options"]["as_of"] == rfc3339(batch.as_of_us)
        assert len(batch.body["inputs"]["sched_dep"]) == len(batch.rows)
        assert all(batch.body["entities"]["tailnum"])
    assert [batch.as_of_us for batch in found] == sorted(batch.as_of_us for batch in found)


def test_injected_drift_is_distances_in_kilometres_from_its_day_on(offline: Path) -> None:
    for batch in batches(offline, FROM, FROM + DAY, FROM + DAY // 2):
        scale = MILE_KM if batch.as_of_us >= FROM + DAY // 2 else 1
        assert batch.body["inputs"]["distance"] == [flight["distance"] * scale for flight in batch.rows]


def test_truth_comes_in_when_it_is_known_and_never_for_flights_that_did_not_arrive(offline: Path) -> None:
    truth, asked, told = Truth(), 0, 0
    for batch in batches(offline, FROM, FROM + DAY, None):
        truth.expect(batch, "request")
        asked += sum(flight["late"] is not None for flight in batch.rows)
        labels = truth.known(batch.as_of_us)
        assert all(label["event_time"] <= rfc3339(batch.as_of_us) for label in labels)
        told += len(labels)
    assert 0 < told < asked
    assert told + len(truth.known(2**62)) == asked


def test_the_first_case_is_the_examples_flight_with_its_truth(offline: Path) -> None:
    found = case(offline)
    assert found["request"]["options"]["as_of"] == "2013-11-27T19:00:00Z"
    assert found["truth"] == "left 33 min late, arrived 69 min late: late"
