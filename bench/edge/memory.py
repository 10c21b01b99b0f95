"""Memory comes back: resident memory of the gateway and of monitoring before and after ten minutes of more than they can take."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx2
import orjson

from bench.edge.model import Figure
from bench.edge.platform import Platform

PREDICT, INFER = "/v1/endpoints/flight-delay:predict", "/v2/models/flight-delay/infer"
REPORT = "/v1/endpoints/flight-delay/report"
WATCHED = ("gateway", "monitoring")
SETTLE_S = 60.0
# Seconds and connections of each kind of load, one kind after another: ten minutes in all.
LOADS = {
    "single rows": (140.0, 64),
    "rows": (140.0, 16),
    "explanations": (140.0, 12),
    "infers": (105.0, 12),
    "reports": (75.0, 4),
}
ROWS, INFER_ROWS = 1000, 4096


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def repeated(example: dict[str, Any], rows: int, **options: Any) -> dict[str, Any]:
    """The endpoint's example with its first row `rows` times."""
    body: dict[str, Any] = {
        part: {name: list(values[:1]) * rows for name, values in example.get(part, {}).items()}
        for part in ("entities", "inputs")
    }
    body["options"] = example.get("options", {}) | options
    return body


def tensors(rows: int) -> dict[str, Any]:
    """A bare infer of the flights model: 64 numbers and 3 texts a row, about 300 bytes of JSON each."""
    return {
        "inputs": [
            {"name": "numeric", "datatype": "FP32", "shape": [rows, 64], "data": [1.5] * (rows * 64)},
            {"name": "categorical", "datatype": "BYTES", "shape": [rows, 3], "data": ["UA", "EWR", "IAH"] * rows},
        ]
    }


async def _loaded(http: httpx2.AsyncClient, seconds: float, connections: int, path: str, body: bytes | None) -> int:
    """Asks over so many connections, each again as soon as it is answered or refused; how many answers."""
    ends = asyncio.get_running_loop().time() + seconds
    answers = itertools.count()

    async def one() -> None:
        while asyncio.get_running_loop().time() < ends:
            try:
                response = await (http.get(path) if body is None else http.post(path, content=body))
            except httpx2.HTTPError:
                continue
            next(answers)
            if response.status_code >= 400:
                await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(connections)))
    return next(answers)


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    headers = {"content-type": "application/json", "x-request-timeout-ms": "10000"}
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=platform.rest, timeout=60, headers=headers, limits=limits) as http:
        example = (await http.get("/v1/endpoints/flight-delay")).json()["example"]
        bodies = {
            "single rows": (PREDICT, orjson.dumps(repeated(example, 1))),
            "rows": (PREDICT, orjson.dumps(repeated(example, ROWS, features=True))),
            "explanations": (PREDICT, orjson.dumps(repeated(example, 100, explain=True))),
            "infers": (INFER, orjson.dumps(tensors(INFER_ROWS))),
            "reports": (REPORT, None),
        }
        for path, body in bodies.values():
            await (http.get(path) if body is None else http.post(path, content=body))
        await asyncio.sleep(5)
        before = {name: resident_mb(platform.pid(name)) for name in WATCHED}
        most = dict(before)
        for kind, (seconds, connections) in LOADS.items():
            loaded = asyncio.create_task(_loaded(http, seconds, connections, *bodies[kind]))
            while not loaded.done():
                await asyncio.sleep(0.2)
                most = {name: max(most[name], resident_mb(platform.pid(name))) for name in WATCHED}
            print(f"  {kind}: {await loaded} answers, " + _line(platform), flush=True)
    await asyncio.sleep(SETTLE_S)
    after = {name: resident_mb(platform.pid(name)) for name in WATCHED}
    return [
        Figure(
            f"memory of {name} after ten minutes of overload, explanations, large infers and reports",
            f"{before[name]:.0f} MB before, {most[name]:.0f} at most, {after[name]:.0f} MB after {SETTLE_S:.0f} s of calm,"
            f" {after[name] / before[name]:.2f} × before",
            "≤ 1.3 × before",
            after[name] <= 1.3 * before[name],
        )
        for name in WATCHED
    ]


def _line(platform: Platform) -> str:
    return ", ".join(f"{name} {resident_mb(platform.pid(name)):.0f} MB" for name in WATCHED)
