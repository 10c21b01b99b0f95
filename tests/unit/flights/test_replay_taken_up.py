"""The replay is taken up where it was stopped: no hour and no label is left out, and none counts twice."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from drift import Notes, Options, _hours
from replay import HOUR_US, batches, instant_us

FROM = instant_us(datetime(2013, 2, 8, tzinfo=UTC))
TO = FROM + 36 * HOUR_US


class Online:
    """The online store that only remembers where it was moved to."""

    def __init__(self) -> None:
        self.moves: list[int] = []

    async def move_to(self, instant: int) -> None:
        self.moves.append(instant)


class Api:
    """Takes predictions and labels; after `calls` of them it has itself stopped, or breaks once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.labels: Counter[tuple[str, int]] = Counter()
        self.rows: dict[str, int] = {}
        self.hour_of: dict[str, str] = {}
        self.calls = 0
        self.stop_at, self.break_at = 0, 0
        self.stop = asyncio.Event()

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        if self.calls == self.break_at:
            return httpx2.Response(400, text="broken")
        if self.calls == self.stop_at:
            self.stop.set()
        body = json.loads(request.content)
        if request.url.path.endswith(":predict"):
            self.asked.append(body["options"]["as_of"])
            request_id = f"request-{len(self.asked)}"
            self.rows[request_id] = len(body["inputs"]["sched_dep"])
            self.hour_of[request_id] = body["options"]["as_of"]
            return httpx2.Response(200, json={"request_id": request_id})
        self.labels.update((label["request_id"], label["row"]) for label in body["labels"])
        return httpx2.Response(200, json={"errors": []})


async def run(api: Api, offline: Path, file: Path) -> Notes:
    """One start of the replay, with nothing kept from the one before but the file."""
    options = Options(FROM, TO, None, Path("plots"))
    notes = Notes(file, options)
    online = Online()
    transport = httpx2.MockTransport(api.answer)
    async with httpx2.AsyncClient(base_url="http://mizzen", transport=transport) as client:
        await _hours(client, cast(Any, online), notes, options, offline, api.stop)
    assert online.moves == sorted(online.moves)
    return notes


async def whole(offline: Path, file: Path) -> Api:
    api = Api()
    notes = await run(api, offline, file)
    assert notes.asked == sum(len(batch.rows) for batch in batches(offline, FROM, TO, None))
    assert not file.exists()
    return api


def told(api: Api) -> Counter[tuple[str, int]]:
    """Labels by the hour and the row they are of."""
    return Counter({(api.hour_of[request], row): count for (request, row), count in api.labels.items()})


@pytest.mark.parametrize("stop_at", [1, 17, 40])
async def test_stopped_and_taken_up_it_asks_and_tells_the_same(offline: Path, tmp_path: Path, stop_at: int) -> None:
    once = await whole(offline, tmp_path / "once.json")
    api, file = Api(), tmp_path / "drift.json"
    api.stop_at = stop_at
    with pytest.raises(SystemExit, match="goes on from there"):
        await run(api, offline, file)
    assert 0 < len(api.asked) < len(once.asked)
    api.stop.clear()
    notes = await run(api, offline, file)
    assert api.asked == once.asked
    assert told(api) == told(once)
    assert notes.asked == sum(once.rows.values())


@pytest.mark.parametrize("break_at", [2, 18, 41])
async def test_killed_anywhere_it_asks_at_most_the_hour_under_way_again(
    offline: Path, tmp_path: Path, break_at: int
) -> None:
    once = await whole(offline, tmp_path / "once.json")
    api, file = Api(), tmp_path / "drift.json"
    api.break_at = break_at
    with pytest.raises(RuntimeError, match="broken"):
        await run(api, offline, file)
    notes = await run(api, offline, file)
    assert sorted(set(api.asked)) == once.asked
    assert len(api.asked) <= len(once.asked) + 1
    assert set(told(api)) == set(told(once))
    assert notes.asked == sum(once.rows.values())


async def test_another_replay_does_not_go_on_from_this_ones_notes(offline: Path, tmp_path: Path) -> None:
    api, file = Api(), tmp_path / "drift.json"
    api.stop_at = 5
    with pytest.raises(SystemExit):
        await run(api, offline, file)
    other = Notes(file, Options(FROM, TO, FROM + HOUR_US, Path("plots")))
    assert (other.done_us, other.asked, other.truth.waiting) == (FROM, 0, [])
