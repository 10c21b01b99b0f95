"""A whole service in a process of its own: the echo service and a small ASGI app, run by the chassis lifecycle.

Environment: MIZZEN_* as for any service; ECHO_HTTP_PORT; ECHO_WAITS_FOR = a file that must exist before it is ready;
ECHO_FAILS = 1 lets its background work fail. GET /blocked keeps the loop for two seconds.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic_settings import SettingsConfigDict

from chassis.errors import Unavailable
from chassis.lifecycle import Runtime, Service, run
from chassis.public.grpc import PublicGrpc
from chassis.public.http_bounds import PublicAsgi
from chassis.rpc.server import Registration
from chassis.settings import ServiceSettings
from tests.fakes.echo import NAME, Echo, add_echo


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="MIZZEN_ECHO_")
    room: ClassVar[str] = "echo"


async def sleep_for(text: str) -> None:
    await asyncio.sleep(float(text) if text.replace(".", "").isdecimal() else 0)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """GET /SECONDS answers after as many seconds."""
    if scope["path"] == "/blocked":
        time.sleep(2)
    await sleep_for(scope["path"].lstrip("/"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def build(runtime: Runtime[Settings]) -> Service:
    echo = Echo()
    echo.behaviour = sleep_for

    async def dependency() -> None:
        if not Path(os.environ.get("ECHO_WAITS_FOR", "/")).exists():
            raise Unavailable("the file is not there yet")

    async def fail() -> None:
        if os.environ.get("ECHO_FAILS"):
            raise ValueError("background")
        await asyncio.Event().wait()

    async def said() -> None:
        runtime.log.info("closed")

    return Service(
        registrations=[Registration(add_echo, echo, NAME)],
        background=[("failing", fail)],
        warm=[dependency],
        close=[said],
        public_asgi=PublicAsgi(app, int(os.environ["ECHO_HTTP_PORT"])),
        public=PublicGrpc(runtime.settings.server),
    )


if __name__ == "__main__":
    sys.exit(run(Settings(), build))
