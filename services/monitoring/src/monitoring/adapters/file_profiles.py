"""Reference profiles from model packages.

Endpoint → InferenceService → pvc://CLAIM/PATH → <volumes>/CLAIM/PATH/MODEL/package/profile.json.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from chassis.errors import DataLoss
from monitoring.domain.model import ColumnProfile, Floats, ReferenceProfile

_log = logging.getLogger(__name__)


class FileProfiles:
    """Reads profile.json again when it changed."""

    def __init__(self, package_of: Callable[[str], Path | None]) -> None:
        self._package_of = package_of
        self._read: dict[Path, tuple[float, ReferenceProfile | str]] = {}

    async def find(self, endpoint: str) -> ReferenceProfile | None:
        package = self._package_of(endpoint)
        found = None if package is None else await asyncio.to_thread(self._find, package / "profile.json")
        if isinstance(found, str):
            raise DataLoss(f"the reference profile of the model package {found}", reason="PROFILE_UNREADABLE")
        return found

    def unreadable(self) -> int:
        return sum(isinstance(found, str) for _, found in self._read.values())

    def _find(self, path: Path) -> ReferenceProfile | str | None:
        try:
            changed = path.stat().st_mtime
        except OSError:
            self._read.pop(path, None)
            return None
        known = self._read.get(path)
        if known is None or known[0] != changed:
            known = self._read[path] = (changed, _read(path))
        return known[1]


def _read(path: Path) -> ReferenceProfile | str:
    """The profile, or what is wrong with it."""
    try:
        return parse_profile(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        fault = f"can't be read ({type(error).__name__})"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        fault = f"is damaged ({type(error).__name__})"
    _log.error("reference profile %s %s", path, fault)
    return fault


def parse_profile(content: dict[str, Any]) -> ReferenceProfile:
    """A profile from its JSON. Raises KeyError, ValueError or TypeError when it is none."""
    rows = int(content["rows"])
    rate = content.get("label_rate")
    return ReferenceProfile(
        schema_hash=str(content.get("schema_hash", "")),
        from_us=_instant_us(content["window"]["from"]),
        to_us=_instant_us(content["window"]["to"]),
        rows=rows,
        features=_columns(content["features"]),
        outputs=_columns(content.get("outputs", {})),
        label_rate=None if rate is None else float(rate),
    )


def _columns(content: dict[str, Any]) -> dict[str, ColumnProfile]:
    found = {name: _column(each) for name, each in content.items()}
    # A column without a single value in the reference has no distribution to compare with.
    return {name: each for name, each in found.items() if len(each.quantiles) or each.categories}


def _column(content: dict[str, Any]) -> ColumnProfile:
    edges, counts = _floats(content.get("edges")), _floats(content.get("counts"))
    quantiles = _floats(content.get("quantiles"))
    if not len(quantiles) and len(edges) > 1 and counts.sum() > 0:
        shares = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
        quantiles = np.interp(np.linspace(0, 1, 101), shares, edges)
    return ColumnProfile(
        kind="categorical" if content.get("kind") == "categorical" else "numeric",
        nulls=float(content.get("nulls") or 0.0),
        quantiles=np.sort(quantiles),
        edges=edges,
        counts=counts,
        categories={str(name): float(count) for name, count in (content.get("categories") or {}).items()},
    )


def _floats(values: list[float] | None) -> Floats:
    numbers = np.array([np.nan if value is None else value for value in values or []], dtype=np.float64)
    return numbers[~np.isnan(numbers)]


def _instant_us(text: str | int | float) -> int:
    if isinstance(text, int | float):
        return int(text)
    instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return int((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
