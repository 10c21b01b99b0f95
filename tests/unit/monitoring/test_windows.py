"""Windows of event time."""

from datetime import UTC, datetime

import pytest

from monitoring.domain.windows import window_at

DAY_US = 86_400_000_000


def at(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


@pytest.mark.parametrize("instant", ["2013-12-16T00:00:00", "2013-12-22T23:59:59.999999", "1969-12-30T12:00:00"])
def test_weeks_start_on_mondays_and_days_at_midnight(instant: str) -> None:
    us = round(datetime.fromisoformat(instant + "+00:00").timestamp() * 1e6)
    week, day = window_at(us, 7 * DAY_US), window_at(us, DAY_US)
    assert (at(week.from_us).strftime("%A %H:%M:%S"), week.to_us - week.from_us) == ("Monday 00:00:00", 7 * DAY_US)
    assert (at(day.from_us).strftime("%H:%M:%S"), day.to_us - day.from_us) == ("00:00:00", DAY_US)
    assert week.from_us <= us < week.to_us
    assert day.from_us <= us < day.to_us
