"""Asking a child whether it can do its work. Each question is one short exchange on loopback."""

import http.client
import socket
import struct
from pathlib import Path
from typing import Any

from cli.machine.spec import Ready

PROTOCOL_3 = 196608
OK = 200


def is_ready(ready: Ready, timeout_s: float = 1.0) -> bool:
    """One attempt; False for every failure, so that callers only have to ask again."""
    try:
        return _ask(ready, timeout_s)
    except (OSError, http.client.HTTPException):
        return False


def _ask(ready: Ready, timeout_s: float) -> bool:
    if ready.kind == "process":
        return True
    if ready.kind == "http":
        return _http(ready, timeout_s)
    if ready.kind == "grpc":
        return _grpc(ready, timeout_s)
    with socket.create_connection((ready.host, ready.port), timeout=timeout_s) as connection:
        if ready.kind == "valkey":
            return _valkey(connection, ready)
        if ready.kind == "postgres":
            return _postgres(connection, ready)
    return True


def _http(ready: Ready, timeout_s: float) -> bool:
    connection = http.client.HTTPConnection(ready.host, ready.port, timeout=timeout_s)
    try:
        connection.request("GET", ready.path)
        return connection.getresponse().status == OK
    finally:
        connection.close()


def _grpc(ready: Ready, timeout_s: float) -> bool:
    # Imported here: most commands, and a machine without models, do without it.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    health: Any = health_pb2
    # A pool of its own: a shared one would keep the pause after a refused connection for the next question.
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"{ready.host}:{ready.port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer.status == health.HealthCheckResponse.SERVING)


def _valkey(connection: socket.socket, ready: Ready) -> bool:
    login = f"AUTH {Path(ready.password_file).read_text().strip()}\r\n" if ready.password_file else ""
    asked = f"{login}PING\r\n".encode()
    connection.sendall(asked)
    answer = b""
    while answer.count(b"\n") < asked.count(b"\n") and (part := connection.recv(256)):
        answer += part
    return answer.endswith(b"+PONG\r\n")  # -LOADING while it reads its file


def _postgres(connection: socket.socket, ready: Ready) -> bool:
    # A startup message: 'R' asks for a password, so the server takes sessions; 'E' says that it is still starting.
    body = struct.pack("!I", PROTOCOL_3)
    for word in ("user", ready.user, "database", ready.database, ""):
        body += word.encode() + b"\0"
    connection.sendall(struct.pack("!I", len(body) + 4) + body)
    return connection.recv(1) == b"R"
