"""The engines that every other integration test stands on."""

import json
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
import tritonclient.grpc as grpcclient

from cli import models
from cli.machine import processes
from cli.machine.engines import postgres as postgres_engine
from cli.machine.engines import valkey as valkey_engine
from cli.machine.engines.passwords import password_file
from cli.machine.engines.triton import serving
from cli.machine.readiness import is_ready
from cli.machine.spec import Ready, specs_to_json
from tests.engines import RunningPostgres, RunningTriton, RunningValkey

pytestmark = pytest.mark.engines


def test_valkey_answers_and_is_empty(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        assert client.dbsize() == 0
        client.set("a", "1")


def test_valkey_keeps_what_it_acknowledged_when_killed(valkey_server: RunningValkey) -> None:
    with redis.Redis.from_url(valkey_server.url) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 2000)
    valkey_server.kill()
    valkey_server.start()
    with redis.Redis.from_url(valkey_server.url) as client:
        assert client.get("kept") == b"yes"


def test_cluster_node_owns_every_slot(valkey_cluster: str) -> None:
    with redis.RedisCluster.from_url(valkey_cluster) as client:
        client.set("{tenant:1}a", "1")
        assert client.get("{tenant:1}a") == b"1"
        assert client.cluster_info()["cluster_slots_assigned"] == "16384"
    without = re.sub(r":[^:@/]*@", "", valkey_cluster)
    with pytest.raises(redis.AuthenticationError), redis.Redis.from_url(without) as nobody:
        nobody.get("{tenant:1}a")


def test_postgres_role_is_no_superuser_and_has_vectors(postgres: str, postgres_server: RunningPostgres) -> None:
    psql = postgres_server.home.binaries / "psql"
    asked = "select current_setting('is_superuser'), '[1,2]'::vector <#> '[3,4]'::vector"
    done = subprocess.run([psql, "-X", "-A", "-t", "-c", asked, postgres], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "off|-11"


def test_postgres_refuses_a_wrong_password(postgres: str, postgres_server: RunningPostgres) -> None:
    psql = postgres_server.home.binaries / "psql"
    wrong = postgres.replace(":" + postgres.split(":")[2].split("@", maxsplit=1)[0] + "@", ":wrong@")
    done = subprocess.run([psql, "-X", "-c", "select 1", wrong], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "password authentication failed" in done.stderr


def test_triton_embeds_and_comes_back_after_a_kill(triton: RunningTriton) -> None:
    before = _embed(triton)
    assert np.linalg.norm(before, axis=1) == pytest.approx([1, 1], abs=1e-5)
    prefix = triton.spec.shm_prefix
    assert list(Path("/dev/shm").glob(f"{prefix}*"))
    triton.kill()
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
    triton.start()
    assert _embed(triton) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/logging", {"log_verbose_level": 1}),
        ("/v2/repository/index", {}),
        (
            "/v2/models/minilm/infer",
            {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["a late plane"]}]},
        ),
    ],
)
def test_a_web_page_reaches_no_call_of_triton(triton: RunningTriton, path: str, body: dict[str, Any]) -> None:
    text = json.dumps(body)
    for host in ("evil.example", f"127.0.0.1:{triton.port}"):
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nConnection: close\r\n"
        asked = f"{head}Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        answers = {port: _sent(port, asked) for port in _listens_on(triton)}
        assert [answer for answer in answers.values() if re.match(rb"HTTP/1.. 2", answer)] == []
        assert set(answers) == {triton.port, triton.metrics_port}


def test_no_web_page_may_read_the_metrics_of_triton(triton: RunningTriton) -> None:
    assert triton.metrics_port in _listens_on(triton)
    answer = _sent(
        triton.metrics_port, b"GET /metrics HTTP/1.1\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"nv_inference_request_success" in body
    assert b"access-control" not in head.lower()


def test_a_triton_that_stands_still_is_not_ready(triton: RunningTriton) -> None:
    assert is_ready(triton.spec.ready)
    assert models.not_served(triton.port, serving(Path(triton.spec.cwd))) == []
    triton.pause()
    try:
        assert not is_ready(triton.spec.ready)
    finally:
        triton.resume()
    assert is_ready(triton.spec.ready, timeout_s=10)


def test_a_triton_that_is_gone_is_not_ready_and_lists_nothing(triton: RunningTriton) -> None:
    triton.kill()
    try:
        assert not is_ready(triton.spec.ready)
        (line,) = models.not_served(triton.port, serving(Path(triton.spec.cwd)))
        assert line.startswith("tritonserver does not list its models: ")
    finally:
        triton.start()


def _listens_on(triton: RunningTriton) -> set[int]:
    """Its ports once the last one, that of the metrics, is open: Triton opens it after the others."""
    assert triton.child is not None
    metrics = Ready("http", triton.metrics_port, path="/metrics")
    processes.wait_ready(replace(triton.spec, ready=metrics), triton.child, triton.log)
    leader: Any = psutil.Process(triton.child.pid)
    members = (leader, *leader.children(recursive=True))
    held = (each for process in members for each in process.connections("inet"))
    return {each.laddr.port for each in held if each.status == psutil.CONN_LISTEN}


def _sent(port: int, asked: bytes) -> bytes:
    """All that the port answers until it closes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(asked)
        while part := connection.recv(65536):
            answer += part
    return answer


def _embed(triton: RunningTriton) -> np.ndarray:
    with grpcclient.InferenceServerClient(triton.grpc_address) as client:
        text = grpcclient.InferInput("text", [2, 1], "BYTES")
        text.set_data_from_numpy(np.array([[b"a late plane"], [b"bread"]], dtype=object))
        return np.asarray(client.infer("minilm", [text], client_timeout=30).as_numpy("embedding"))


def test_data_whose_keys_were_lost_is_opened_with_new_ones(postgres_server: RunningPostgres) -> None:
    home = postgres_server.home
    postgres_server.stop()
    home.password_file.unlink()
    again = postgres_engine.prepare(home.directory, home.password_file.parent, durable=False)
    assert again == home
    postgres_server.start()
    url = postgres_server.create_database()
    done = subprocess.run([home.binaries / "psql", "-X", "-c", "select 1", url], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    postgres_server.drop_database(url)


def test_valkey_asks_for_its_password_which_no_process_list_shows(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    assert valkey_server.child is not None
    seen = (
        Path(f"/proc/{valkey_server.child.pid}/cmdline").read_bytes()
        + Path(f"/proc/{valkey_server.child.pid}/environ").read_bytes()
    )
    assert valkey_server.password.encode() not in seen
    config = Path(valkey_server.spec.cwd) / "valkey.conf"
    assert (config.stat().st_mode & 0o777, valkey_server.password in config.read_text()) == (0o600, True)


def test_another_password_restarts_valkey_and_tells_nothing_of_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    specs = [valkey_engine.spec(1, tmp_path / "valkey", password_file=password_file(path)) for path in (first, second)]
    assert specs[0].digest() != replace(specs[1], ready=specs[0].ready).digest()
    assert second.read_text().strip() not in specs_to_json(specs)


def test_only_a_valkey_that_answers_is_ready(valkey_server: RunningValkey, tmp_path: Path) -> None:
    assert is_ready(valkey_server.spec.ready)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    assert not is_ready(replace(valkey_server.spec.ready, password_file=str(wrong)))
    assert not is_ready(replace(valkey_server.spec.ready, password_file=str(tmp_path / "none")))
