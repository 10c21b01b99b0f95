"""Step 3."""

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from tests.e2e import client, install
from tests.e2e.world import StepFailed, World, until

TITLE = "The admin API"
PROVES = (
    "Only the admin key opens it, and it is reached by `kubectl port-forward`. A key that it makes is taken through the route "
    "within seconds, goes on while no pod of control runs, and is refused within seconds once revoked. A definition put there is "
    "an object that is served; a wrong one changes nothing. The audit log has all of it."
)
COPY = "flight-delay-copy"
COUNTS_WITHIN_S = 10
AWAY_S = 5


def run(world: World) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with forwarded(world) as url, admins(world, url) as admin:
        refused(url, install.key(world))
        made = answered(admin.post("keys", json={"name": "e2e", "scopes": ["read", "infer"]}), 201)
        with_key = client.Rest(install.address(world), made["key"])
        figures["key_taken_after_s"] = seconds_until(lambda: predicts(with_key) == 200)
        figures |= definitions(world, admin, with_key)
    figures |= away(world, with_key)
    with forwarded(world) as url, admins(world, url) as admin:
        answered(admin.delete(f"keys/{made['about']['id']}"))
        figures["key_refused_after_s"] = seconds_until(lambda: predicts(with_key) == 401)
        told = answered(admin.get("audit", params={"limit": 100}))["changes"]
    seen = {(each["action"], each["object"], each["outcome"]) for each in told}
    missing = {
        ("key.create", "key default/e2e", "done"),
        ("key.revoke", "key default/e2e", "done"),
        ("definition.put", f"Endpoint/{COPY}", "done"),
        ("definition.put", f"Endpoint/{COPY}", "refused"),
        ("definition.remove", f"Endpoint/{COPY}", "done"),
    } - seen
    if missing:
        raise StepFailed(f"the audit log has no {sorted(missing)}")
    return figures | {"changes_in_the_log": len(told)}


@contextlib.contextmanager
def forwarded(world: World) -> Iterator[str]:
    """The admin API's address on this machine."""
    words = ("kubectl", "-n", world.namespace, "port-forward", "deployment/mizzen-control", ":8088")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not found:
            raise StepFailed(f"kubectl port-forward: {line}")
        yield f"http://127.0.0.1:{found[1]}/admin/v1/"
    finally:
        process.terminate()
        process.wait()


def admins(world: World, url: str) -> httpx2.Client:
    key = world.secret("mizzen-admin-key", "api-key")
    return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def refused(url: str, data_key: str) -> None:
    """Nobody comes in without the admin key, not even the first API key, whose scopes are `*`."""
    for headers, wanted in (({}, 401), ({"x-api-key": "mzn_guess"}, 401), ({"x-api-key": data_key}, 401)):
        status = httpx2.get(f"{url}keys", headers=headers).status_code
        if status != wanted:
            raise StepFailed(f"the admin API answers {status} to {list(headers)}, not {wanted}")


def answered(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    if answer.status_code != status:
        raise StepFailed(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:600]}")
    return dict(answer.json())


def predicts(rest: client.Rest, endpoint: str = client.ENDPOINT) -> int:
    return rest.call("POST", f"/v1/endpoints/{endpoint}:predict", client.EXAMPLE)[0]


def seconds_until(is_so: Callable[[], bool]) -> float:
    began = time.monotonic()
    until("a change of control counts", is_so, COUNTS_WITHIN_S, 0.2)
    return round(time.monotonic() - began, 1)


def definitions(world: World, admin: httpx2.Client, rest: client.Rest) -> dict[str, Any]:
    """A second endpoint on the same model: put, served, changed to something wrong, removed."""
    manifest = answered(admin.get(f"definitions/Endpoint/{client.ENDPOINT}"))["manifest"]
    manifest["metadata"] = {"name": COPY}
    answered(admin.post("definitions", json=manifest))
    taken_s = seconds_until(lambda: predicts(rest, COPY) == 200)
    wrong = json.loads(json.dumps(manifest))
    wrong["spec"]["model"]["outputs"] = []
    answer = admin.post("definitions", json=wrong)
    if answer.status_code != 400 or not answer.json().get("faults"):
        raise StepFailed(f"a wrong definition: {answer.status_code} {answer.text[:600]}")
    if world.get("endpoint.mizzen.dev", COPY)["spec"] != manifest["spec"]:
        raise StepFailed("the wrong definition changed the object")
    answered(admin.delete(f"definitions/Endpoint/{COPY}"))
    gone_s = seconds_until(lambda: predicts(rest, COPY) == 404)
    return {"definition_served_after_s": taken_s, "definition_gone_after_s": gone_s}


def away(world: World, rest: client.Rest) -> dict[str, Any]:
    """No pod of control: what serves goes on, with control's own key."""
    before = world.get("deployment", "mizzen-control")["spec"]["replicas"]
    world.kubectl("scale", "deployment/mizzen-control", "--replicas=0")
    try:
        until("control is away", lambda: not world.items("pods", "-l", "app.kubernetes.io/component=control"), 90)
        began, calls = time.monotonic(), 0
        while time.monotonic() - began < AWAY_S:
            if (status := predicts(rest)) != 200:
                raise StepFailed(f"a prediction while control is away: {status}")
            calls += 1
        if len(world.pods("gateway")) < 2:
            raise StepFailed("a gateway is not ready while control is away")
    finally:
        world.kubectl("scale", "deployment/mizzen-control", f"--replicas={before}")
    world.kubectl("rollout", "status", "deployment/mizzen-control", "--timeout=120s")
    return {"predictions_while_control_was_away": calls}
