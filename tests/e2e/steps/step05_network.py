"""Step 5."""

import json
from typing import Any

import yaml

from tests.e2e.world import CHART, StepFailed, World, until

TITLE = "NetworkPolicies"
PROVES = (
    "Every edge of the call table connects, every other pair of pods is refused: each tried from the callers' own pods."
)
PORTS = {
    "gateway": {8080: "data", 8081: "data", 8180: "ops"},
    "features": {8101: "data", 8181: "ops"},
    "retrieval": {8102: "data", 8182: "ops"},
    "monitoring": {8103: "data", 8183: "ops"},
    "control": {8104: "data", 8088: "admin", 8184: "ops"},
    "inference": {9000: "data", 8090: "data", 8002: "ops"},
    "valkey": {6391: "data"},
    "postgresql": {5433: "data"},
}
# Connects to all at once: a refused one only times out.
TRY = """
import json, socket, sys, threading
out = {}
def one(name, host, port):
    try:
        socket.create_connection((host, port), 2.5).close(); out[name] = True
    except OSError: out[name] = False
threads = [threading.Thread(target=one, args=each) for each in json.loads(sys.argv[1])]
[each.start() for each in threads]; [each.join() for each in threads]
print(json.dumps(out))
"""
PROBERS = ("jobs", "test")
OUTSIDE = "other-namespace"


def run(world: World) -> dict[str, Any]:
    table = yaml.safe_load((CHART / "values.yaml").read_text())["allowedClients"]
    other = f"{world.namespace}-other"
    try:
        probers(world, other)
        edges, wrong, tried = matrix(world, table, other)
    finally:
        world.kubectl("delete", "pod", "-l", "mizzen.dev/e2e=prober", "--wait=false", check=False)
        world.command("kubectl", "delete", "namespace", other, "--wait=false", check=False)
    if wrong:
        raise StepFailed(f"{len(wrong)} of {tried} pairs are not as the call table says: {wrong[:12]}")
    return {"pairs_tried": tried, "connected": edges, "refused": tried - edges, "not_as_declared": 0}


def probers(world: World, other: str) -> None:
    """Pods with the labels of those who only live shortly, one without any, one in another namespace."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other, "labels": enforce}})
    world.apply(*(prober(world, name) for name in PROBERS), prober(world, "stranger"))
    world.command("kubectl", "-n", other, "apply", "-f", "-", stdin=yaml.safe_dump(prober(world, "stranger")))
    world.kubectl("wait", "pod", "-l", "mizzen.dev/e2e=prober", "--for=condition=Ready", "--timeout=120s")
    world.command("kubectl", "-n", other, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=120s")


def prober(world: World, name: str) -> dict[str, Any]:
    labels = {"mizzen.dev/e2e": "prober"}
    if name != "stranger":
        labels |= {
            "app.kubernetes.io/name": "mizzen",
            "app.kubernetes.io/instance": "mizzen",
            "app.kubernetes.io/component": name,
        }
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "prober",
        "image": f"mizzen/gateway:{world.settings.tag}",
        "command": ["python3", "-c", "import time; time.sleep(3600)"],
        "securityContext": restricted,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"prober-{name}", "labels": labels}, "spec": spec}


def matrix(world: World, table: dict[str, list[str]], other: str) -> tuple[int, list[str], int]:
    """(connections made, pairs that aren't as declared, pairs tried)."""
    callees = {name: until(f"{name} is ready", lambda name=name: world.pods(name), 120) for name in PORTS}  # type: ignore[misc]
    callers = {name: pods[0]["metadata"]["name"] for name, pods in callees.items()}
    callers |= {name: f"prober-{name}" for name in (*PROBERS, "stranger")} | {OUTSIDE: "prober-stranger"}
    edges, wrong, tried = 0, [], 0
    for caller, pod in callers.items():
        targets = []
        for callee, ports in PORTS.items():
            others = [each for each in callees[callee] if each["metadata"]["name"] != pod]
            targets += [(f"{callee}:{port}", others[-1]["status"]["podIP"], port) for port in ports if others]
        namespace = other if caller == OUTSIDE else world.namespace
        script = ("python3", "-c", TRY, json.dumps(targets))
        seen = json.loads(world.command("kubectl", "-n", namespace, "exec", pod, "--", *script))
        for target, connected in seen.items():
            callee, port = target.split(":")
            declared = PORTS[callee][int(port)] == "data" and allowed(table[callee], caller)
            tried, edges = tried + 1, edges + connected
            if connected != declared:
                wrong.append(f"{caller} → {target} {'connected' if connected else 'refused'}")
    return edges, wrong, tried


def allowed(callers: list[str], caller: str) -> bool:
    """Clients are, by the chart's default, all pods that no policy of the release holds back."""
    return caller in callers or ("clients" in callers and caller in {"stranger", OUTSIDE})
