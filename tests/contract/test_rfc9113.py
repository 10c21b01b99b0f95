"""Every server position refuses what RFC 9113 says must be refused, and serves everybody else on."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.contract.http2_peer import peer, said
from tests.contract.rfc9113 import CASES, Case, whole
from tests.contract.rfc9113_deviations import DEVIATIONS
from tests.contract.servers import KINDS, Kind, running

_AT_ONCE = 16
_VERDICT_S = 2.0


async def outcome(address: str, case: Case) -> str:
    """What a server makes of a case."""
    async with peer(address, greet=case.greet) as client:
        for step in case.steps:
            if isinstance(step, bytes):
                client.send(step)
            else:
                await client.until_ended(step)
        number = 99 if case.outcome == "served" else 1
        await client.settle()
        with suppress(TimeoutError):  # what no frame follows on is told from an answer by waiting alone
            async with asyncio.timeout(_VERDICT_S):
                await client.until_ended(number)
        if client.gone is not None:
            return f"connection {client.gone}"
        if case.outcome == "served":
            return "served" if said(await client.answer(number)) == "x" else "answered something else"
        heard = client.streams.get(number)
        if heard is not None and heard.reset not in (None, "NO_ERROR"):
            return f"stream {heard.reset}"
        if heard is not None and heard.ended:
            grpc_status = heard.fields.get("grpc-status")
            return f"answered {heard.fields[':status']}" + ("" if grpc_status is None else f", gRPC {grpc_status}")
        return "nothing"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_must_be_refused_is_refused(kind: Kind) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda value: asyncio.sleep(30) if value == "wait" else None
        gate = asyncio.Semaphore(_AT_ONCE)

        async def judged(case: Case) -> tuple[str, str]:
            async with gate:
                return case.name, await outcome(run.address, case)

        found = dict(await asyncio.gather(*(judged(case) for case in CASES)))
        async with peer(run.address) as other:
            other.send(whole())
            assert said(await other.answer(1)) == "x"
    assert {name: what for name, what in found.items() if not _is_right(kind, name, what)} == {}


def _is_right(kind: Kind, name: str, what: str) -> bool:
    case: Any = next(case for case in CASES if case.name == name)
    if kind == "loop":
        return bool(what == case.outcome)
    deviation = DEVIATIONS[kind].get(name)
    if deviation is None:
        return what in case.allowed
    unsaid = (
        "connection nothing said" if deviation.outcome.startswith("connection") else None
    )  # a goodbye may be overtaken
    return what in (deviation.outcome, unsaid)


def test_each_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 100


def test_a_deviation_is_one_and_says_why() -> None:
    cases = {case.name: case for case in CASES}
    for deviations in DEVIATIONS.values():
        for name, deviation in deviations.items():
            assert deviation.outcome not in cases[name].allowed, name
            assert len(deviation.reason) > 20, name
