"""Clock and calendar of instants in whole columns: int64 microseconds since 1970."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Offsets of time zones change on quarters of an hour, so one lookup serves a quarter.
_QUARTER_US = 900_000_000
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


@lru_cache(maxsize=65_536)
def _offset_us(zone: str, quarter: int) -> int:
    try:
        instant = _EPOCH + timedelta(microseconds=quarter * _QUARTER_US)
        offset = instant.astimezone(ZoneInfo(zone)).utcoffset()
    except (OverflowError, ValueError):
        return 0
    return 0 if offset is None else round(offset / timedelta(microseconds=1))


def to_local(instants: Any, zone: str) -> Any:
    """Local wall-clock time of each instant, as microseconds since 1970-01-01 00:00 local."""
    quarters = instants // _QUARTER_US
    distinct, places = np.unique(quarters, return_inverse=True)
    offsets = np.array([_offset_us(zone, quarter) for quarter in distinct.tolist()], np.int64)
    return instants + offsets[places]


def hour_of(instants: Any) -> Any:
    """Hour of the day, 0–23, as float64."""
    return ((instants // _HOUR_US) % 24).astype(np.float64)


def isodow_of(instants: Any) -> Any:
    """Day of the week, Monday 1 to Sunday 7, as float64."""
    return ((instants // _DAY_US + 3) % 7 + 1).astype(np.float64)
