"""A model that hangs costs its own callers their deadline, and nobody else anything."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from chassis import metrics as chassis_metrics
from tests.fakes.gateway_rig import gateway_rig

PREDICT = ("/v1/endpoints/late:predict", {"entities": {"tailnum": ["N1"]}, "inputs": {"distance": [1.0]}})
ECHO = ("/v2/models/echo/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
DEADLINE_MS = 3000


async def asked(http: httpx2.AsyncClient, what: tuple[str, dict[str, Any]]) -> tuple[int, float]:
    """Status and seconds of a call with that deadline."""
    started = time.perf_counter()
    response = await http.post(what[0], json=what[1], headers={"x-request-timeout-ms": str(DEADLINE_MS)})
    return response.status_code, time.perf_counter() - started


async def test_a_hung_model_starves_only_its_own_endpoint(tmp_path: Path) -> None:
    limits = httpx2.Limits(max_connections=None)
    async with gateway_rig(tmp_path) as rig, httpx2.AsyncClient(base_url=rig.url, timeout=20, limits=limits) as http:
        assert (await asked(http, PREDICT))[0] == 200
        assert (await asked(http, ECHO))[0] == 200
        rig.triton.slow["late"] = 30.0
        # More at once than the endpoint may have in flight (32).
        hung = [asyncio.create_task(asked(http, PREDICT)) for _ in range(40)]
        while rig.triton.in_flight == 0:
            await asyncio.sleep(0.01)
        assert [(await asked(http, ECHO))[0] for _ in range(20)] == [200] * 20
        assert not all(call.done() for call in hung), "the others were answered after the hung calls, not beside them"
        ended = await asyncio.gather(*hung)
        assert Counter(status for status, _ in ended) == {504: 32, 429: 8}
        late = [seconds for status, seconds in ended if status == 504]
        assert min(late) >= DEADLINE_MS / 1e3 - 0.05, "it ended before its time was over"
        deadline = time.monotonic() + 5
        while rig.triton.in_flight:
            assert time.monotonic() < deadline, "calls that nobody waits for are still under way at the model"
            await asyncio.sleep(0.02)
        labels = {"upstream": "inference", "state": "open"}
        assert not rig.runtime.registry.get_sample_value(chassis_metrics.CHANNEL_BREAKERS.name, labels)
        rig.triton.slow.clear()
        assert (await asked(http, PREDICT))[0] == 200, "it is well again and still refused"


async def test_a_hung_model_does_not_hold_who_asks_another_in_the_same_moment(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path) as rig, httpx2.AsyncClient(base_url=rig.url, timeout=20) as http:
        await asyncio.gather(asked(http, PREDICT), asked(http, ECHO))
        rig.triton.slow["late"] = 30.0
        for _ in range(5):
            answers = await asyncio.gather(*(asked(http, what) for what in (PREDICT, ECHO, PREDICT, ECHO)))
            assert [status for status, _ in answers] == [504, 200, 504, 200]
            assert max(answers[1][1], answers[3][1]) < min(answers[0][1], answers[2][1])
