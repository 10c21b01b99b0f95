"""Explanations beside ordinary predicts: what twelve of them at once do to others, to the event loop and to memory."""

import asyncio
import time
from typing import Any

import httpx2

from bench.edge.memory import PREDICT, repeated, resident_mb
from bench.edge.model import Figure
from bench.edge.platform import Platform

ROWS, AT_ONCE, ROUNDS, ALONE_S = 100, 12, 3, 5.0


async def _paced(http: httpx2.AsyncClient, body: dict[str, Any], until: asyncio.Event) -> list[float]:
    """Seconds of single predicts, one after another, twenty a second."""
    took: list[float] = []
    while not until.is_set():
        started = time.perf_counter()
        response = await http.post(PREDICT, json=body)
        took.append(time.perf_counter() - started if response.status_code == 200 else float("inf"))
        await asyncio.sleep(0.05)
    return took


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]


async def _explained(http: httpx2.AsyncClient, body: dict[str, Any], gateway: int) -> tuple[list[int], float]:
    """Statuses of so many explanations at once, and the most memory that the gateway had meanwhile, MB."""
    calls = [asyncio.create_task(http.post(PREDICT, json=body)) for _ in range(AT_ONCE)]
    most_mb = 0.0
    while not all(call.done() for call in calls):
        await asyncio.sleep(0.05)
        most_mb = max(most_mb, resident_mb(gateway))
    return [call.result().status_code for call in calls], most_mb


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    gateway = platform.pid("gateway")
    headers = {"x-request-timeout-ms": "60000"}
    async with httpx2.AsyncClient(base_url=platform.rest, timeout=60, headers=headers) as http:
        example = (await http.get("/v1/endpoints/flight-delay")).json()["example"]
        single, explained = repeated(example, 1), repeated(example, ROWS, explain=True)
        refused = await http.post(PREDICT, json=repeated(example, ROWS + 1, explain=True))
        (await http.post(PREDICT, json=explained)).raise_for_status()
        over = asyncio.Event()
        paced = asyncio.create_task(_paced(http, single, over))
        await asyncio.sleep(ALONE_S)
        over.set()
        alone_s, over = _p99(await paced), asyncio.Event()
        idle_mb, statuses, most_mb = resident_mb(gateway), list[int](), 0.0
        paced = asyncio.create_task(_paced(http, single, over))
        for _ in range(ROUNDS):
            ended, mb = await _explained(http, explained, gateway)
            statuses, most_mb = statuses + ended, max(most_mb, mb)
        over.set()
        beside_s = _p99(await paced)
    answered = statuses.count(200)
    said = (refused.status_code, refused.json().get("field"))
    return [
        Figure(
            f"{ROWS + 1} rows with explain are refused by name", f"{said[0]} {said[1]}", "400 options.explain",
            said == (400, "options.explain"),
        ),
        Figure(
            f"{AT_ONCE} explanations of {ROWS} rows at once are answered or refused, none times out",
            f"{answered} of {len(statuses)} answered, {len(statuses) - answered} refused", "200, 429 or 503",
            answered > 0 and set(statuses) <= {200, 429, 503},
        ),
        Figure(
            "memory of the gateway meanwhile", f"{most_mb:.0f} MB, {most_mb / idle_mb:.2f} × idle", "≤ 1.3 × idle",
            most_mb <= 1.3 * idle_mb,
        ),
        Figure(
            "p99 of single predicts meanwhile", f"{beside_s * 1e3:.0f} ms, alone {alone_s * 1e3:.0f} ms", "≤ 250 ms",
            beside_s <= 0.25,
        ),
    ]  # fmt: skip
