"""Secrets are made once: what exists is never touched, and only who needs a file gets it."""

import http.client
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, ClassVar

import pytest

from chassis.clock import SystemClock
from chassis.errors import Unauthenticated
from chassis.rpc.identity import Identity, Minter, Verifier
from chassis.telemetry import logs
from gateway.adapters.file_keys import FileKeys
from gateway.domain.model import Caller
from tests.charts.rendering import CHART, PRESETS, named, objects, of_kind, pods, render

WANTED = {
    "identity": "mizzen-identity",
    "api-key": "mizzen-api-key",
    "admin-key": "mizzen-admin-key",
    "valkey": "mizzen-valkey",
    "postgresql": "mizzen-postgresql",
    "postgresql-owner": "mizzen-postgresql-owner",
}


class Secrets(BaseHTTPRequestHandler):
    """As much of the API server as holds Secrets."""

    store: ClassVar[dict[str, Any]] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.store.get(self.path.rpartition("/")[2])
        self._answer(200 if found else 404, found or {"message": "not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        fresh = name not in self.store
        self.store.setdefault(name, body)
        self._answer(201 if fresh else 409, self.store[name])

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_secrets", CHART / "files/make_secrets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api(script: ModuleType) -> Iterator[Any]:
    Secrets.store.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Secrets) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        yield script.Api(connection, "token", "ml", "mizzen")
        connection.close()
        server.shutdown()
        thread.join()


def test_secrets_survive(script: ModuleType, api: Any) -> None:
    assert set(script.make(api, WANTED)) == set(WANTED.values())
    before = json.dumps(Secrets.store)
    assert script.make(api, WANTED) == []
    assert json.dumps(Secrets.store) == before
    # One that was lost comes back, the others stay.
    del Secrets.store["mizzen-valkey"]
    assert script.make(api, WANTED) == ["mizzen-valkey"]


def asked_with(key: str, directory: Any) -> Caller:
    files = ([directory / "api-keys"], directory / "service.secret")
    return FileKeys(*files, SystemClock(), grace_s=300, log=logs.logger("test")).caller(key)


def test_what_is_made_works_together(script: ModuleType, api: Any, tmp_path: Any) -> None:
    script.make(api, WANTED)
    content = {name: api.get(name) for name in WANTED.values()}
    for name, value in content["mizzen-identity"].items():
        (tmp_path / name).write_bytes(value)
    clock = SystemClock()
    asked = Identity("default", "anyone", frozenset({"predict"}))
    token = Minter(tmp_path / "identity.key", clock).mint(asked)
    assert Verifier(tmp_path / "identity.pub", clock).verify(token) == asked
    assert asked_with(content["mizzen-api-key"]["api-key"].decode(), tmp_path).tenant == "default"
    admin_key = content["mizzen-admin-key"]["api-key"].decode()
    with pytest.raises(Unauthenticated):
        asked_with(admin_key, tmp_path)
    password = content["mizzen-valkey"]["password"].decode()
    assert password.isalnum(), "it stands in a URL"
    assert content["mizzen-valkey"]["valkey.conf"].decode() == f"requirepass {password}\n"
    passwords = content["mizzen-postgresql"]["password"], content["mizzen-postgresql-owner"]["password"]
    assert passwords[0] != passwords[1]
    assert all(each.isalnum() for each in passwords), "they stand in SQL"


def test_an_interrupted_run_goes_on_with_the_same_key(script: ModuleType, api: Any, tmp_path: Any) -> None:
    script.make(api, {"api-key": "mizzen-api-key"})
    key = api.get("mizzen-api-key")["api-key"].decode()
    script.make(api, WANTED)
    for name, value in api.get("mizzen-identity").items():
        (tmp_path / name).write_bytes(value)
    assert asked_with(key, tmp_path).subject == "first"


@pytest.mark.parametrize("preset", PRESETS)
def test_no_secret_is_in_the_release(preset: str) -> None:
    """Nothing secret is rendered, so nothing secret is in Helm's history or in a repository of manifests."""
    assert of_kind(objects(preset), "Secret") == []


def test_only_the_gateway_gets_the_private_key() -> None:
    holders: dict[str, set[str]] = {}
    for _, pod in pods(objects("everything")):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for volume in pod["spec"].get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                for item in source["secret"]["items"]:
                    holders.setdefault(item["key"], set()).add(component)
            assert "secret" not in volume, "a whole Secret is more than anyone needs"
    assert holders["identity.key"] == {"gateway"}
    assert holders["api-keys"] == {"gateway"}
    assert (
        holders["identity.pub"]
        == holders["service.secret"]
        == {"gateway", "features", "retrieval", "monitoring", "control"}
    )
    assert holders["superuser-password"] == {"postgresql"}
    admins = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for _, pod in pods(objects("everything"))
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if source["secret"]["name"] == "mizzen-admin-key"
    }
    assert admins == {"control"}


@pytest.mark.parametrize("preset", PRESETS)
def test_no_secret_is_in_an_environment(preset: str) -> None:
    """Passwords come as files: an environment is inherited, dumped and shown by `kubectl describe`'s friends."""
    for name, pod in pods(objects(preset)):
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            for entry in container.get("env", []):
                assert "secretKeyRef" not in entry.get("valueFrom", {}), (name, entry["name"])
                user, at, _ = entry.get("value", "").partition("://")[2].rpartition("@")
                assert not at or ":" not in user, (name, entry["name"])
            assert not [each for each in container.get("envFrom", []) if "secretRef" in each]


def test_an_external_valkey_without_a_password_is_asked_without_one() -> None:
    found = render(
        {
            "valkey": {
                "mode": "external",
                "external": {"host": "v.example", "peers": [{"ipBlock": {"cidr": "10.0.0.9/32"}}]},
            }
        }
    )
    names = {each["name"] for _, pod in pods(found) for each in pod["spec"]["containers"][0].get("env", [])}
    assert "MIZZEN_ONLINE_URL" in names
    assert "MIZZEN_ONLINE_PASSWORD_FILE" not in names
    files = {
        item["path"]
        for _, pod in pods(found)
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }
    assert "valkey.password" not in files


def test_with_secrets_of_your_own_nothing_is_made() -> None:
    own = {
        "secrets": {"identity": "a", "apiKey": "b", "adminKey": "f"},
        "valkey": {"secret": "c"},
        "postgresql": {"secret": "d", "ownerSecret": "e"},
    }
    found = render(own)
    assert not [each for each in found if "secrets" in each["metadata"]["name"]]
    used = {
        source["secret"]["name"]
        for _, pod in pods(found)
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
    }
    assert used == {"a", "b", "c", "d", "e", "f"}


def test_the_maker_exists_only_while_it_works() -> None:
    hooks = [
        each
        for each in objects("default")
        if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-install,pre-upgrade"
    ]
    assert {each["kind"] for each in hooks} == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "NetworkPolicy",
        "Job",
    }
    assert all("hook-succeeded" in each["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for each in hooks)
    rules = named(objects("default"), "Role", "mizzen-secrets")["rules"]
    assert {tuple(rule["verbs"]) for rule in rules} == {("create",), ("get",)}
    assert sorted(rules[1]["resourceNames"]) == sorted(WANTED.values())
