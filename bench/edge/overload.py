"""Three times the peak for a minute, over REST, gRPC and in search: answers go on, the rest is refused at once.

For each: the peak (the most that closed loops of 8, 16 and 32 get answered), a calm of 60 % of it, the overload while health and
metrics are asked ten times a second, and the same calm again. EDGE_OVERLOAD_S shortens the minute.
"""

import asyncio
import base64
import datetime
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bench.edge.model import Figure
from bench.edge.platform import Platform
from mizzen.gateway.v1 import gateway_pb2 as pb

ROOT = Path(__file__).parents[2]
OVERLOAD_S = float(os.environ.get("EDGE_OVERLOAD_S", "60"))
PEAK_S, CALM_S, AFTER_S = 5.0, 8.0, 5.0
OK = {"http": "200", "grpc": "0"}
REFUSED = {"http": ("429", "503"), "grpc": ("8", "14")}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a load saw."""

    kind: str
    seconds: float
    unanswered: int
    statuses: Mapping[str, Mapping[str, float]]

    def count(self, *statuses: str) -> int:
        return int(sum(self.statuses[status]["count"] for status in statuses if status in self.statuses))

    @property
    def goodput(self) -> float:
        return self.count(OK[self.kind]) / self.seconds

    @property
    def p99_ms(self) -> float:
        return self.statuses.get(OK[self.kind], {}).get("p99_ms", float("inf"))

    @property
    def refused(self) -> int:
        return self.count(*REFUSED[self.kind])

    @property
    def refused_p99_ms(self) -> float:
        found = [self.statuses[status]["p99_ms"] for status in REFUSED[self.kind] if status in self.statuses]
        return max(found, default=0.0)

    @property
    def lost(self) -> int:
        known = (OK[self.kind], *REFUSED[self.kind])
        return self.unanswered + sum(int(each["count"]) for name, each in self.statuses.items() if name not in known)

    @property
    def says_when(self) -> int:
        return int(sum(self.statuses.get(status, {}).get("says_when", 0) for status in REFUSED[self.kind]))


async def offered(plan: dict[str, Any], seconds: float, connections: int, rate: float | None = None) -> Seen:
    """Runs bench.edge.open_loop."""
    plan = {**plan, "seconds": seconds, "connections": connections, **({} if rate is None else {"rate": rate})}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.edge.open_loop", json.dumps(plan), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the load generator ended with {child.returncode}")
    return Seen(plan["kind"], **json.loads(out))


async def probed(ops: str, until: asyncio.Event) -> list[float]:
    """Milliseconds of each answer of the ops port, on connections of their own as probes open them."""
    took: list[float] = []
    async with httpx2.AsyncClient(base_url=ops, timeout=30, limits=httpx2.Limits(max_keepalive_connections=0)) as http:
        while not until.is_set():
            for path in ("/healthz", "/readyz", "/metrics"):
                started = time.perf_counter()
                (await http.get(path)).raise_for_status()
                took.append((time.perf_counter() - started) * 1e3)
            await asyncio.sleep(0.1)
    return took


async def overloaded(name: str, plan: dict[str, Any], ops: str) -> list[Figure]:
    """The figures of one way in."""
    grpc = plan["kind"] == "grpc"
    await offered(plan, 3, 8)
    peaks = [await offered(plan, PEAK_S, connections) for connections in (8, 16, 32)]
    peak = max(peaks, key=lambda seen: seen.goodput)
    spread = 8 if grpc else 16
    before = await offered(plan, CALM_S, spread, peak.goodput * 0.6)
    over = asyncio.Event()
    probing = asyncio.create_task(probed(ops, over))
    seen = await offered(plan, OVERLOAD_S, spread, peak.goodput * 3)
    over.set()
    probes = sorted(await probing)
    await asyncio.sleep(AFTER_S)
    after = await offered(plan, CALM_S, spread, peak.goodput * 0.6)
    print(
        json.dumps(
            {
                "name": name,
                "peaks": [(p.goodput, p.p99_ms, p.refused) for p in peaks],
                "seen": seen.statuses,
                "before": before.statuses,
                "after": after.statuses,
                "probes": [probes[len(probes) // 2], probes[-1]],
            }
        )
    )
    what = f"{name}, 3x of {peak.goodput:.0f}/s for {OVERLOAD_S:.0f} s"
    share = seen.goodput / peak.goodput
    slower = seen.p99_ms / peak.p99_ms
    health_ms = probes[len(probes) * 99 // 100]
    back = after.p99_ms / before.p99_ms
    return [
        Figure(f"{what}: goodput", f"{share:.0%} of peak", "≥ 90 %", share >= 0.9),
        Figure(f"{what}: refusals", f"p99 {seen.refused_p99_ms:.1f} ms of {seen.refused}", "≤ 20 ms", seen.refused_p99_ms <= 20),
        Figure(
            f"{what}: refusals that say when to come back", f"{seen.says_when} of {seen.refused}", "all",
            seen.says_when == seen.refused > 0,
        ),
        Figure(f"{what}: neither answered nor refused", str(seen.lost), "0", seen.lost == 0),
        Figure(
            f"{what}: p99 of what was taken", f"{seen.p99_ms:.0f} ms, {slower:.1f}x of the peak's {peak.p99_ms:.0f} ms",
            "≤ 2x", slower <= 2,
        ),
        Figure(f"{what}: health and metrics", f"p99 {health_ms:.1f} ms of {len(probes)}", "≤ 50 ms", health_ms <= 50),
        Figure(
            f"{what}: {AFTER_S:.0f} s after",
            f"{after.refused + after.lost} refused or lost, p99 {back:.1f}x of before", "0, ≤ 2x",
            after.refused + after.lost == 0 and back <= 2,
        ),
    ]  # fmt: skip


def plans(platform: Platform, example: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name → where to and what."""
    rest, grpc = platform.ports["gateway_rest"], platform.ports["gateway"]
    question = {"query": "what happens when Valkey is down", "top_k": 3}
    predict = pb.PredictRequest(endpoint="flight-delay")
    for name, words in example["entities"].items():
        predict.entities[name].strings.values.extend(words)
    predict.inputs["sched_dep"].ints.values.append(_us(example["inputs"]["sched_dep"][0]))
    predict.inputs["distance"].doubles.values.extend(example["inputs"]["distance"])
    predict.options.as_of.FromMicroseconds(_us(example["options"]["as_of"]))
    bodies = {
        "REST predict": ("http", rest, "/v1/endpoints/flight-delay:predict", json.dumps(example).encode()),
        "gRPC predict": ("grpc", grpc, "/mizzen.gateway.v1.EndpointService/Predict", predict.SerializeToString()),
        "REST search": ("http", rest, "/v1/collections/handbook:search", json.dumps(question).encode()),
    }
    return {
        name: {"kind": kind, "port": port, "path": path, "body": base64.b64encode(body).decode()}
        for name, (kind, port, path, body) in bodies.items()
    }


def _us(instant: str) -> int:
    return int(datetime.datetime.fromisoformat(instant).timestamp() * 1_000_000)


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    async with httpx2.AsyncClient(base_url=platform.rest, timeout=60) as http:
        example = (await http.get("/v1/endpoints/flight-delay")).json()["example"]
    figures: list[Figure] = []
    for name, plan in plans(platform, example).items():
        figures += await overloaded(name, plan, platform.ops)
    return figures
