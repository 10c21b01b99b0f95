"""The ops port says that a process should be started anew when its loop has not turned for minutes."""

import asyncio
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from chassis.ops import OpsServer


def asked(port: int, path: str) -> tuple[int, str]:
    """From the test's own thread, so that nothing else turns meanwhile."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_liveness_fails_for_a_stuck_loop_only() -> None:
    ill = ""
    ops = OpsServer("127.0.0.1", 0, CollectorRegistry(), lambda: "starting", lambda: ill)
    await ops.start()
    try:
        assert asked(ops.port, "/healthz") == (200, "live\n")
        assert asked(ops.port, "/readyz") == (503, "starting\n")
        ill = "the event loop has not turned for 121 s"
        assert asked(ops.port, "/healthz") == (503, ill + "\n")
    finally:
        ops.close()
    with pytest.raises(urllib.error.URLError):
        asked(ops.port, "/healthz")


async def test_a_taken_port_is_an_error_at_once() -> None:
    first = OpsServer("127.0.0.1", 0, CollectorRegistry(), lambda: "ready")
    await first.start()
    try:
        with pytest.raises(OSError, match="ddress already in use"):
            await OpsServer("127.0.0.1", first.port, CollectorRegistry(), lambda: "ready").start()
    finally:
        await asyncio.to_thread(first.close)
