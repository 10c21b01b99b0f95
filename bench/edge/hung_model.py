"""A model that hangs, as its process is stopped: its callers reach their deadline, those of another model notice nothing."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.edge.memory import PREDICT, repeated
from bench.edge.model import Figure
from bench.edge.platform import Platform

HUNG, OTHER = "flight-delay", "minilm"
DEADLINE_MS, SECONDS, CALLS_A_SECOND = 500, 8.0, 10


def stubs(state: Path, model: str) -> list[int]:
    """Process ids of the processes in which Triton runs a model."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(state) in command and "python_backend_stub" in command and f"/{model}/" in command:
            found.append(int(path.parent.name))
    return found


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stopped until the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def _asked(http: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> tuple[int, float]:
    started = time.perf_counter()
    response = await http.post(path, json=body, headers={"x-request-timeout-ms": str(DEADLINE_MS)})
    return response.status_code, time.perf_counter() - started


async def _paced(http: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> list[tuple[int, float]]:
    """So many calls a second, whatever becomes of them."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(int(SECONDS * CALLS_A_SECOND)):
            tasks.append(group.create_task(_asked(http, path, body)))
            await asyncio.sleep(1 / CALLS_A_SECOND)
    return [task.result() for task in tasks]


def _p99_ms(answers: list[tuple[int, float]]) -> float:
    took = sorted(seconds for _, seconds in answers)
    return took[int(len(took) * 0.99)] * 1e3


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    async with httpx2.AsyncClient(base_url=platform.rest, timeout=30) as http:
        example = repeated((await http.get("/v1/endpoints/flight-delay")).json()["example"], 1)
        name = (await http.get(f"/v2/models/{OTHER}")).json()["inputs"][0]["name"]
        other = {"inputs": [{"name": name, "datatype": "BYTES", "shape": [1, 1], "data": ["a late flight"]}]}
        infer = f"/v2/models/{OTHER}/infer"
        (await http.post(infer, json=other)).raise_for_status()
        alone = await _paced(http, infer, other)
        # The same number of predicts as beside it later, so that the two differ in the model that hangs alone.
        beside_well, _ = await asyncio.gather(_paced(http, infer, other), _paced(http, PREDICT, example))
        with stopped(stubs(platform.state, HUNG)):
            beside, hung = await asyncio.gather(_paced(http, infer, other), _paced(http, PREDICT, example))
        started = time.perf_counter()
        for _ in range(300):
            status, _ = await _asked(http, PREDICT, example)
            if status == 200:
                break
            await asyncio.sleep(0.05)
        again = time.perf_counter() - started
    late = sorted(seconds * 1e3 for status, seconds in hung if status == 504)
    middle = late[len(late) // 2] if late else 0.0
    well = sum(status == 200 for status, _ in beside)
    before, after = _p99_ms(beside_well), _p99_ms(beside)
    return [
        Figure(
            "calls of a hung model end at their deadline of 500 ms", f"{len(late)} of {len(hung)}, {middle:.0f} ms",
            "all, 500 ± 50 ms", len(late) == len(hung) and abs(middle - DEADLINE_MS) <= 50,
        ),
        Figure("calls of another model are answered meanwhile", f"{well} of {len(beside)}", "all", well == len(beside)),
        Figure(
            "their p99", f"{after:.0f} ms; {before:.0f} ms beside the model when well, {_p99_ms(alone):.0f} ms alone",
            "≤ 1.2 × beside it when well", after <= 1.2 * before,
        ),
        Figure("the model answers again", f"{again:.1f} s after it goes on", "≤ 2 s", again <= 2),
    ]  # fmt: skip
