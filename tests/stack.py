"""A whole Mizzen for tests: `mizzen up -f examples/flights` on ports and a state directory of its own."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.settings import Settings
from tests.engines import free_ports, triton_venv

ROOT = Path(__file__).parents[1]
SERVICES = ("gateway", "features", "retrieval", "monitoring", "control")
ENGINES = ("valkey", "postgres", "triton")


@dataclass(frozen=True)
class Stack:
    """A running installation; `env` starts any command against it."""

    state: Path
    env: Mapping[str, str]
    ports: Mapping[str, int]
    screen: str = ""

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway_rest']}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.ports['gateway']}"

    def mizzen(self, *arguments: str, timeout_s: float = 400) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def pid(self, name: str) -> int:
        """Of the child's leader now; 0 while it is not running."""
        status = json.loads((self.state / "run/status.json").read_text())
        return int(status["children"][name]["pid"])

    def ready(self) -> bool:
        status = json.loads((self.state / "run/status.json").read_text())
        return all(child["state"] == "ready" for child in status["children"].values())


def started(state: Path) -> Stack:
    names = [name for name in Settings.model_fields if name.endswith("_port")]
    ports = dict(zip((name.removesuffix("_port") for name in names), free_ports(len(names)), strict=True))
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    env |= {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    env |= {"MIZZEN_STATE": str(state), "MIZZEN_TRITON_VENV": str(triton_venv())}
    stack = Stack(state, env, ports)
    done = stack.mizzen("up", "-f", "examples/flights", "--detach")
    if done.returncode:
        stack.mizzen("down")
        pytest.fail(f"mizzen up: {done.stdout[-4000:]}\n{done.stderr[-4000:]}", pytrace=False)
    return Stack(state, env, ports, done.stdout)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    state = Path(tempfile.mkdtemp(prefix="mizzen-stack-", dir="/tmp"))
    state.chmod(0o755)
    running = started(state)
    try:
        yield running
    finally:
        ended = running.mizzen("down")
        logs = {path.name: path.read_text(errors="replace") for path in (state / "logs").glob("*.log")}
        shutil.rmtree(state, ignore_errors=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "gateway.log" in logs, sorted(logs)
        leaking = [name for name, text in logs.items() if "nanobind" in text]
        assert not leaking, f"extension objects outlived their process' end: {leaking}"


@dataclass(slots=True)
class Answer:
    """How one request of the load went: `status` is HTTP's, 0 without an answer."""

    kind: str
    sent: float
    done: float
    status: int
    text: str = ""

    @property
    def seconds(self) -> float:
        return self.done - self.sent


@dataclass
class Load:
    """Mixed requests over the public API, GET where there is no body; `answers` holds each in the order they ended."""

    client: httpx2.AsyncClient
    requests: Mapping[str, tuple[str, dict[str, Any] | None]]
    answers: list[Answer] = field(default_factory=list)

    async def ask(self, kind: str) -> Answer:
        path, body = self.requests[kind]
        sent = time.monotonic()
        try:
            response = await self.client.request("GET" if body is None else "POST", path, json=body)
            answer = Answer(kind, sent, time.monotonic(), response.status_code, response.text)
        except httpx2.HTTPError as error:
            answer = Answer(kind, sent, time.monotonic(), 0, repr(error))
        self.answers.append(answer)
        return answer

    async def steady(self, per_second: float, until: asyncio.Event) -> None:
        """Open loop: a slow answer doesn't slow the sending."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(100_000):
                if until.is_set():
                    return
                kinds = list(self.requests)
                tasks.create_task(self.ask(kinds[number % len(kinds)]))
                await asyncio.sleep(1 / per_second)

    async def all_well(self) -> bool:
        """One request of each kind, all answered with 200."""
        return all(answer.status == 200 for answer in await asyncio.gather(*(self.ask(kind) for kind in self.requests)))


@asynccontextmanager
async def load_on(stack: Stack, timeout_s: float = 15) -> AsyncIterator[Load]:
    """Requests of every kind that users send; `timeout_s` is the client's: reaching it is a hang."""
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50)
    async with httpx2.AsyncClient(base_url=stack.rest, timeout=timeout_s, limits=limits) as client:
        await eventually(stack.ready, 30, "every process ready")
        example = (await client.get("/v1/endpoints/flight-delay")).json()["example"]
        requests: dict[str, tuple[str, dict[str, Any] | None]] = {
            "predict": ("/v1/endpoints/flight-delay:predict", example),
            "read": (
                "/v1/features:read",
                {"features": ["plane:seats"], "entities": {"tailnum": example["entities"]["tailnum"]}},
            ),
            "search": ("/v1/collections/handbook:search", {"query": "what happens when Valkey is down", "top_k": 3}),
            "ask": ("/v1/collections/handbook:ask", {"question": "Which port does the gateway serve REST on?"}),
        }
        yield Load(client, requests)


async def eventually(true: Callable[[], Any], timeout_s: float, what: str) -> float:
    """Seconds until `true()` (awaited when it has to be); fails the test after `timeout_s`."""
    started_at = time.monotonic()
    while True:
        answer = true()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return time.monotonic() - started_at
        if time.monotonic() - started_at > timeout_s:
            pytest.fail(f"{what}: not within {timeout_s} s")
        await asyncio.sleep(0.1)
