"""Makes the Secrets of an installation that aren't there yet; one that exists is never touched.

Runs in the cluster before install and upgrade: `make_secrets.py '{"identity": NAME, "api-key": NAME, …}'`.
"""

import base64
import http.client
import json
import os
import secrets
import ssl
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ALL = "*"  # scopes


class Api:
    """The Secrets of one namespace."""

    def __init__(self, connection: http.client.HTTPConnection, token: str, namespace: str, release: str) -> None:
        self._connection = connection
        self._token = token
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._release = release

    def get(self, name: str) -> dict[str, bytes] | None:
        """The content of a Secret, None when there is none."""
        status, body = self._ask("GET", f"{self._path}/{name}")
        if status == 404:
            return None
        if status != 200:
            raise SystemExit(f"reading Secret {name}: {status} {body.get('message')}")
        return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}

    def create(self, name: str, content: Mapping[str, bytes]) -> bool:
        """Makes a Secret; False when somebody else was first."""
        labels = {"app.kubernetes.io/part-of": "mizzen", "app.kubernetes.io/instance": self._release}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": labels},
            "data": {key: base64.b64encode(value).decode() for key, value in content.items()},
        }
        status, body = self._ask("POST", self._path, secret)
        if status not in {201, 409}:
            raise SystemExit(f"making Secret {name}: {status} {body.get('message')}")
        return status == 201

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def make(api: Api, wanted: Mapping[str, str]) -> list[str]:
    """Makes what is missing of `wanted` (kind → name); answers the names made.

    The plain API key comes before its hash: a run that was cut between the two goes on with the same key.
    """
    made = []
    for kind in ("api-key", "admin-key", "identity", "valkey", "postgresql", "postgresql-owner"):
        name = wanted.get(kind)
        if name is None or api.get(name) is not None:
            continue
        if api.create(name, content(kind, lambda: (api.get(wanted["api-key"]) or {})["api-key"])):
            made.append(name)
    return made


def content(kind: str, api_key: Any) -> dict[str, bytes]:
    """Fresh content of a Secret of this kind; `api_key` answers the plain API key."""
    if kind in ("api-key", "admin-key"):
        return {"api-key": f"mzn_{secrets.token_urlsafe(32)}".encode()}
    if kind == "identity":
        return _identity(api_key())
    password = secrets.token_hex(24)
    if kind == "valkey":
        return {"password": password.encode(), "valkey.conf": f"requirepass {password}\n".encode()}
    if kind == "postgresql-owner":
        return {"password": password.encode()}
    return {"password": password.encode(), "superuser-password": secrets.token_hex(24).encode()}


def _identity(api_key: bytes) -> dict[str, bytes]:
    from chassis.api_keys import ApiKey, key_hash  # noqa: PLC0415 - only in the image
    from chassis.rpc.identity import write_keys  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch:
        write_keys(Path(scratch))
        files = {path.name: path.read_bytes() for path in Path(scratch).iterdir()}
    hashed = key_hash(bytes.fromhex(files["service.secret"].decode().strip()), api_key.decode())
    first = ApiKey("first", "default", frozenset({ALL}), hashed)
    return {**files, "api-keys": f"{first.line()}\n".encode()}


def main() -> None:
    """Connects to the API server of the pod's own cluster."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=20)
    token = (ACCOUNT / "token").read_text()
    made = make(Api(connection, token, os.environ["POD_NAMESPACE"], os.environ["RELEASE"]), json.loads(sys.argv[1]))
    sys.stdout.write(f"made: {', '.join(made) or 'nothing, all there'}\n")


if __name__ == "__main__":
    main()
