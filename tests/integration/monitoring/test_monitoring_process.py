"""Monitoring as a process of its own: it ends cleanly, having said nothing on stderr."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
import redis.asyncio as redis

from chassis.rpc.identity import write_keys
from tests.engines import free_ports
from tests.fakes.monitoring_records import START_US, batch, predicted, request_ids

pytestmark = pytest.mark.engines


async def test_it_ends_without_a_word_on_stderr(valkey: str, postgres: str, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys")
    (tmp_path / "definitions").mkdir()
    port, ops = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")} | {
        "MIZZEN_STATE": str(tmp_path),
        "MIZZEN_STREAM_URL": valkey,
        "MIZZEN_POSTGRES_URL": postgres,
        "MIZZEN_MONITORING_PORT": str(port),
        "MIZZEN_MONITORING_OPS_PORT": str(ops),
        "MIZZEN_MONITORING_EVALUATE_EVERY_S": "0.2",
        "MIZZEN_DRAIN_S": "0",
        "PYTHONWARNINGS": "default",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "monitoring"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        client = redis.from_url(valkey)
        records = [predicted(request_ids(1)[0], START_US, {"weather:temp": [1.0]}, [0.5])]
        await client.xadd("mizzen:records", {"b": batch(records, 1)})
        await client.aclose()
        # A report was made from Parquet: everything that is held is held now.
        await until(f"http://127.0.0.1:{ops}/metrics", 'mizzen_monitoring_records_total{result="stored"} 1.0')
        await until(f"http://127.0.0.1:{ops}/metrics", 'mizzen_monitoring_set_aside_files{kind="records"} 0.0')
        process.send_signal(signal.SIGTERM)
        _, told = await asyncio.to_thread(process.communicate, None, 30)
    finally:
        process.kill()
        process.wait()
    assert told.decode() == ""
    assert process.returncode == 0


async def until(url: str, wanted: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    async with httpx2.AsyncClient() as client:
        while True:
            try:
                if wanted in (await client.get(url)).text:
                    return
            except httpx2.HTTPError:
                pass
            assert time.monotonic() < end, wanted
            await asyncio.sleep(0.05)
