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


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("127.0.0.1", "evil.example:9090", 421),
        ("127.0.0.1", "localhost:9090", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("0.0.0.0", "10.1.2.3:9090", 200),
    ],
)
async def test_a_page_whose_name_leads_to_loopback_reads_no_metrics(bound: str, host: str, status: int) -> None:
    ops = OpsServer(bound, 0, CollectorRegistry(), lambda: "ready")
    await ops.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", ops.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    finally:
        await asyncio.to_thread(ops.close)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
