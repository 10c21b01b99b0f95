"""Signals to a pod's processes, as a crash or a hang has them: from pods that see the processes of their node.

`kubectl delete --force` is no crash: the API forgets the pod at once, while the kubelet goes on ending it gracefully.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.e2e.world import Object, StepFailed, World

SIGNAL = """
import os, sys
number, uid, sent = int(sys.argv[1]), sys.argv[2], 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        group = open(f"/proc/{pid}/cgroup").read()
        if (uid in group or uid.replace("-", "_") in group) and open(f"/proc/{pid}/comm").read() != "pause\\n":
            os.kill(int(pid), number)
            sent += 1
    except OSError:
        pass
print(sent)
"""


@contextmanager
def senders(world: World) -> Iterator[None]:
    """One pod a node that may send signals, in a namespace of its own, while the block runs."""
    namespace = _namespace(world)
    nodes = {pod["spec"]["nodeName"] for pod in world.items("pods")}
    try:
        world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        made = yaml.safe_dump_all(_sender(world, node) for node in sorted(nodes))
        world.command("kubectl", "-n", namespace, "apply", "--server-side", "-f", "-", stdin=made)
        world.command("kubectl", "-n", namespace, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=120s")
        yield
    finally:
        world.command("kubectl", "delete", "namespace", namespace, "--wait=false", check=False)


def send(world: World, pod: Object, number: int) -> None:
    """A signal to all processes of a pod's containers; StepFailed when there is none."""
    script = ("python3", "-c", SIGNAL, str(number), pod["metadata"]["uid"])
    sent = world.command("kubectl", "-n", _namespace(world), "exec", pod["spec"]["nodeName"], "--", *script)
    if not int(sent):
        raise StepFailed(f"{pod['metadata']['name']} has no process on {pod['spec']['nodeName']}")


def _namespace(world: World) -> str:
    return f"{world.namespace}-faults"


def _sender(world: World, node: str) -> Object:
    container = {
        "name": "sender",
        "image": f"mizzen/gateway:{world.settings.tag}",
        "command": ["python3", "-c", "import time; time.sleep(7200)"],
        "securityContext": {"privileged": True, "runAsUser": 0},
    }
    spec = {
        "nodeName": node,
        "hostPID": True,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec}
