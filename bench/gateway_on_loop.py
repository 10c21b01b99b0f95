"""python -m bench.gateway_on_loop: the gateway with our own HTTP/2 server on the public gRPC port.

No setting offers that (ADR 0019). It is here so that what the choice costs is measured in one run.
"""

from dataclasses import replace

from chassis import lifecycle
from chassis.lifecycle import Runtime, Service
from gateway.main import build
from gateway.settings import Settings


async def _build(runtime: Runtime[Settings]) -> Service:
    service = await build(runtime)
    assert service.public is not None
    return replace(service, public=replace(service.public, kind="loop"))


if __name__ == "__main__":
    raise SystemExit(lifecycle.run(Settings(), _build))
