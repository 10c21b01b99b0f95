"""Three times the peak for a minute, over REST, gRPC and in search: answers go on, the rest is refused at once.

For each: the peak (the most that closed loops of 8, 16 and 32 get answered), a calm of 60 % of it, the overload while health is
asked ten times and metrics once a second, and the same calm again. gRPC predictions on the public port's other server as well.
EDGE_OVERLOAD_S shortens the minute. The load has a core of its own, where there are two.
"""

import asyncio
import base64
import datetime
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.edge.cores import apart
from bench.edge.model import Figure
from bench.edge.platform import Platform, running
from mizzen.gateway.v1 import gateway_pb2 as pb

ROOT = Path(__file__).parents[2]
OVERLOAD_S = float(os.environ.get("EDGE_OVERLOAD_S", "60"))
WARM_S, PEAK_S, CALM_S, AFTER_S, REST_S = 3.0, 20.0, 8.0, 5.0, 20.0
ASKED_EVERY_S = {"/healthz": 0.1, "/readyz": 0.1, "/metrics": 1.0}
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


@dataclass(frozen=True, slots=True)
class Probes:
    """Milliseconds of each answer of the ops port by path, and how late a timer beside was: the machine's share of that."""

    took_ms: dict[str, list[float]] = field(default_factory=lambda: {path: [] for path in ASKED_EVERY_S})
    late_ms: list[float] = field(default_factory=list)

    async def ask(self, port: int, until: asyncio.Event) -> None:
        """Asks for each path as often as a hasty kubelet or Prometheus would, on connections of its own as these do."""
        await asyncio.gather(*(self._ask(path, port, until) for path in ASKED_EVERY_S))

    async def _ask(self, path: str, port: int, until: asyncio.Event) -> None:
        every_s = ASKED_EVERY_S[path]
        while not until.is_set():
            started = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{path}: {answer[:200]!r}")
            self.took_ms[path].append((time.perf_counter() - started) * 1e3)
            due = time.perf_counter() + every_s
            await asyncio.sleep(every_s)
            self.late_ms.append((time.perf_counter() - due) * 1e3)

    @property
    def slowest_p99_ms(self) -> float:
        """Of the path that has the greatest."""
        return max(p99(took_ms) for took_ms in self.took_ms.values())


def p99(values: list[float]) -> float:
    """Of a hundred values, 99 are smaller."""
    return sorted(values)[len(values) * 99 // 100]


@dataclass(frozen=True, slots=True)
class Run:
    """The loads of one way in, in the order they came."""

    name: str
    peak: Seen
    before: Seen
    over: Seen
    probes: Probes
    after: Seen

    def figures(self) -> list[Figure]:
        """What was promised, and what came."""
        peak, over, after = self.peak, self.over, self.after
        what = f"{self.name}, 3x of {peak.goodput:.0f}/s for {OVERLOAD_S:.0f} s"
        share, slower = over.goodput / peak.goodput, over.p99_ms / peak.p99_ms
        health_ms, late_ms = self.probes.slowest_p99_ms, p99(self.probes.late_ms)
        left, back = after.refused + after.lost, after.p99_ms / self.before.p99_ms
        taken = f"{over.p99_ms:.0f} ms, {slower:.1f}x of the peak's {peak.p99_ms:.0f} ms"
        refused = f"p99 {over.refused_p99_ms:.1f} ms of {over.refused}"
        each = ", ".join(
            f"{path} {p99(took_ms):.1f} of {len(took_ms)}" for path, took_ms in self.probes.took_ms.items()
        )
        health = f"p99 in ms: {each} (a timer beside was {late_ms:.1f} ms late)"
        says_when = over.says_when == over.refused > 0
        return [
            Figure(f"{what}: goodput", f"{share:.0%} of peak", "≥ 90 %", share >= 0.9),
            Figure(f"{what}: refusals", refused, "≤ 20 ms", over.refused_p99_ms <= 20),
            Figure(f"{what}: say when to come back", f"{over.says_when} of {over.refused}", "all refusals", says_when),
            Figure(f"{what}: neither answered nor refused", str(over.lost), "0", over.lost == 0),
            Figure(f"{what}: p99 of what was taken", taken, "≤ 2x", slower <= 2),
            Figure(f"{what}: health and metrics", health, "≤ 50 ms", health_ms <= 50),
            Figure(f"{what}: {AFTER_S:.0f} s after, refused or lost", str(left), "0", left == 0),
            Figure(f"{what}: {AFTER_S:.0f} s after, p99", f"{back:.1f}x of before", "≤ 2x", back <= 2),
        ]


async def rested(ops: str) -> None:
    """Returns when nothing is under way any more, and some seconds have passed since: what is measured next stands alone."""
    async with httpx2.AsyncClient(base_url=ops, timeout=60) as http:
        while "\nmizzen_gateway_in_flight 0.0\n" not in (await http.get("/metrics")).text:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.5)
    await asyncio.sleep(REST_S)


async def overloaded(name: str, plan: dict[str, Any], ops_port: int) -> Run:
    """Peak, calm, overload, a pause, calm."""
    connections = 8 if plan["kind"] == "grpc" else 16
    await offered(plan, WARM_S, connections)
    peak = max([await offered(plan, PEAK_S, number) for number in (8, 16, 32)], key=lambda seen: seen.goodput)
    before = await offered(plan, CALM_S, connections, peak.goodput * 0.6)
    probes, over = Probes(), asyncio.Event()
    probing = asyncio.create_task(probes.ask(ops_port, over))
    seen = await offered(plan, OVERLOAD_S, connections, peak.goodput * 3)
    over.set()
    await probing
    await asyncio.sleep(AFTER_S)
    return Run(name, peak, before, seen, probes, await offered(plan, CALM_S, connections, peak.goodput * 0.6))


def plans(platform: Platform, example: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name → where to and what."""
    rest, grpc = platform.ports["gateway_rest"], platform.ports["gateway"]
    question: dict[str, Any] = {"query": "what happens when Valkey is down", "top_k": 3}
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
        "gRPC search": (
            "grpc", grpc, "/mizzen.gateway.v1.CollectionService/Search",
            pb.SearchRequest(collection="handbook", **question).SerializeToString(),
        ),
    }  # fmt: skip
    return {
        name: {"kind": kind, "port": port, "path": path, "body": base64.b64encode(body).decode()}
        for name, (kind, port, path, body) in bodies.items()
    }


def _us(instant: str) -> int:
    return int(datetime.datetime.fromisoformat(instant).timestamp() * 1_000_000)


async def _measured(platform: Platform, names: Sequence[str] = (), on: str = "") -> list[Figure]:
    """Of the named ways in, or all."""
    async with httpx2.AsyncClient(base_url=platform.rest, timeout=60) as http:
        example = (await http.get("/v1/endpoints/flight-delay")).json()["example"]
    figures: list[Figure] = []
    with apart(platform):
        for name, plan in plans(platform, example).items():
            if not names or name in names:
                await rested(platform.ops)
                figures += (await overloaded(name + on, plan, platform.ports["gateway_ops"])).figures()
    return figures


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    figures = await _measured(platform)
    with running({"MIZZEN_GATEWAY_PUBLIC_SERVER": "native"}) as native:
        return figures + await _measured(native, ["gRPC predict"], " on pygrpc-native")
