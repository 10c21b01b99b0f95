"""API keys that control tells: known before the gateway is ready, replaced as a whole, kept when control is away."""

import asyncio
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.telemetry.logs import logger
from gateway.adapters.control import keys
from mizzen.control.v1 import control_pb2 as pb


class Control:
    """In the place of the channel: answers once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.answer = pb.ReadKeysResponse(
            version="1", keys=[pb.Key(name="shop", tenant="acme", scopes=["read"], hash="a")]
        )
        self.is_away = False
        self.asked: list[str] = []

    async def unary(self, _method: str, request: pb.ReadKeysRequest, *_: Any) -> pb.ReadKeysResponse:
        self.asked.append(request.version)
        await self.may.wait()
        if self.is_away:
            raise Unavailable("away")
        return self.answer


def made(control: Control) -> keys.ControlKeys:
    channel: Any = control
    return keys.ControlKeys(channel, SystemClock(), logger("test"))


async def test_the_first_answer_is_waited_for() -> None:
    control = Control()
    told = made(control)
    asking, first = asyncio.create_task(told.ask()), asyncio.create_task(told.first())
    while not control.asked:
        await asyncio.sleep(0)
    assert (first.done(), told.unread) == (False, True)
    control.may.set()
    await asyncio.wait_for(asyncio.gather(asking, first), 5)
    assert (told.unread, told.count()) == (False, 1)


async def test_without_an_answer_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FIRST_S", 0.01)
    told = made(Control())
    await asyncio.wait_for(told.first(), 5)
    assert told.unread


async def test_other_keys_replace_all_and_none_does_when_control_is_away() -> None:
    control = Control()
    control.may.set()
    told = made(control)
    await told.ask()
    control.answer = pb.ReadKeysResponse(
        version="2", keys=[pb.Key(name="new", tenant="bolt", hash="b", expires_us=5_000_000)]
    )
    await told.ask()
    found = told.find("b")
    assert found is not None
    assert (found[0].tenant, found[0].subject, found[1]) == ("bolt", "new", 5.0)
    assert told.find("a") is None
    control.answer = pb.ReadKeysResponse(version="2", unchanged=True)
    await told.ask()
    control.is_away = True
    await told.ask()
    assert told.find("b") == found
    assert told.details() == ["API keys: control does not tell its keys (those it told go on): away"]
    assert control.asked == ["", "1", "2", "2"]
