"""Mixed load in the background: predictions and searches, REST and gRPC in turn, at a fixed rate, each call counted."""

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from grpc import aio

from mizzen.gateway.v1 import gateway_pb2_grpc as api
from tests.e2e import client

TIMEOUT_S = 10.0
CONNECTIONS = 16


@dataclass
class Seen:
    """Figures of a load; times in milliseconds."""

    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    reused: int = 0
    times: list[float] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    lost: list[tuple[float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def total(self) -> int:
        return sum(self.calls.values())

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.times)

        def share(part: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) if ordered else 0.0

        lost = {"lost_during": dict(Counter(self.during(at) for at, _ in self.lost))} if self.lost else {}
        return {
            "calls": self.total(),
            "failed": sum(self.failed.values()),
            "calls_by_kind": dict(self.calls),
            "failed_by_kind": dict(self.failed),
            "reasons": dict(self.reasons.most_common(8)),
            "degraded_answers": self.degraded,
            "idle_connections_renewed": self.reused,
            "p50_ms": share(0.5),
            "p99_ms": share(0.99),
            **lost,
        }

    def during(self, at: float) -> str:
        """The last mark before that moment."""
        return next((name for since, name in reversed(self.marks) if since <= at), "start")


class Load:
    """`with Load(…) as load:` runs until the block ends; `load.seen` has the figures."""

    def __init__(self, address: str, key: str, rate: int) -> None:
        self._address, self._key, self._rate = address, key, rate
        self.seen = Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def mark(self, name: str) -> None:
        """What happens from now on: failures are told by it."""
        self.seen.marks.append((time.monotonic() - self.seen.began, name))

    def at_least(self, calls: int, timeout_s: float = 600) -> None:
        """Return when so many calls were answered."""
        give_up = time.monotonic() + timeout_s
        while self.seen.total() < calls and time.monotonic() < give_up:
            time.sleep(0.5)

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=CONNECTIONS)
        headers = {"host": client.REST_HOST, "authorization": f"Bearer {self._key}"}
        async with (
            httpx2.AsyncClient(
                base_url=f"http://{self._address}", headers=headers, timeout=TIMEOUT_S, limits=limits, trust_env=False
            ) as rest,
            aio.insecure_channel(self._address, options=client.OPTIONS) as channel,
        ):
            kinds = self._kinds(rest, channel)
            running: set[asyncio.Task[None]] = set()
            start, sent = time.monotonic(), 0
            while not self._stop.is_set():
                while sent < (time.monotonic() - start) * self._rate:
                    name, call = kinds[sent % len(kinds)]
                    task = asyncio.create_task(self._one(name, call))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    sent += 1
                await asyncio.sleep(0.005)
            if running:
                await asyncio.wait(running, timeout=TIMEOUT_S * 2)

    def _kinds(self, rest: Any, channel: Any) -> list[tuple[str, Callable[[], Awaitable[bool]]]]:
        endpoints: Any = api.EndpointServiceStub(channel)
        collections: Any = api.CollectionServiceStub(channel)
        sent = client.metadata(self._key)
        predict, search = f"/v1/endpoints/{client.ENDPOINT}:predict", f"/v1/collections/{client.COLLECTION}:search"

        async def post(path: str, body: Any) -> bool:
            try:
                answer = await rest.post(path, json=body)
            except httpx2.RemoteProtocolError:
                # The server closed an idle connection as we reused it: nothing was done, so it is asked once more.
                self.seen.reused += 1
                answer = await rest.post(path, json=body)
            if answer.status_code != 200:
                raise OSError(f"{answer.status_code} {answer.text[:160]}")
            return bool(json.loads(answer.text).get("degraded"))

        async def unary(method: Any, request: Any) -> bool:
            call = method(request, metadata=sent, timeout=TIMEOUT_S)
            answer = await call
            if (
                answer is None
            ):  # as grpc.aio gives it for a status of OK behind no message, or behind one that is not whole
                raise OSError(f"OK and no message: {await call.trailing_metadata()} {await call.debug_error_string()}")
            return bool(answer.degraded)

        return [
            ("REST predict", lambda: post(predict, client.EXAMPLE)),
            ("gRPC predict", lambda: unary(endpoints.Predict, client.predict_request())),
            ("REST search", lambda: post(search, {"query": "model", "top_k": 3})),
            ("gRPC search", lambda: unary(collections.Search, client.search_request())),
        ]

    async def _one(self, name: str, call: Callable[[], Awaitable[bool]]) -> None:
        begun = time.monotonic()
        try:
            self.seen.degraded += await call()
        except Exception as error:
            self.seen.failed[name] += 1
            details = getattr(error, "details", None)
            detail = details() if callable(details) else error
            self.seen.lost.append((round(begun - self.seen.began, 1), name))
            self.seen.reasons[f"{name}: {type(error).__name__} {str(detail)[:400]}"] += 1
        finally:
            self.seen.calls[name] += 1
            self.seen.times.append((time.monotonic() - begun) * 1000)


def pause(seconds: float) -> None:
    """A stretch of load with nothing happening, to compare with."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(seconds)
