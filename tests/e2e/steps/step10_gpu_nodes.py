"""Step 10."""

import json
import time
from collections import Counter
from typing import Any

import yaml

from tests.e2e import install
from tests.e2e.world import CHART, StepFailed, World, until

TITLE = "GPU values on 1,000 fake nodes"
PROVES = (
    "values-gpu.yaml on 1,000 fake GPU nodes (KWOK, no GPU is there): the API server takes every object, predictors land on GPU "
    "nodes only, spread evenly over zones and nodes, and the time that the scheduler takes. What mode kserve renders passes the "
    "API server's validation by KServe's CRDs (no KServe is there)."
)
KSERVE = ("inferenceservices", "servingruntimes")
NODES, ZONES, REPLICAS = 1000, 10, 1000
MARK = {"mizzen.dev/e2e": "fake"}


def run(world: World) -> dict[str, Any]:
    namespace = f"{world.namespace}-gpu"
    try:
        began = time.monotonic()
        add_nodes(world)
        nodes_s = time.monotonic() - began
        began = time.monotonic()
        objects = add_predictors(world, namespace)
        pods = until("all predictors run", lambda: placed(world, namespace), 420, 3)
        scheduled_s = time.monotonic() - began
        return judge(world, pods) | {
            "kserve_objects_accepted": kserve_objects(world, namespace),
            "nodes": NODES,
            "nodes_ready_s": round(nodes_s, 1),
            "pods": len(pods),
            "applied_to_all_running_s": round(scheduled_s, 1),
            "objects_accepted": objects,
        }
    finally:
        world.command("kubectl", "delete", "namespace", namespace, "--wait=false", check=False)
        world.command("kubectl", "delete", "pv", "-l", f"mizzen.dev/e2e={namespace}", "--wait=false", check=False)
        world.command(
            "kubectl", "delete", "nodes", "-l", "mizzen.dev/e2e=fake", "--wait=false", check=False, timeout_s=300
        )


def add_nodes(world: World) -> None:
    world.command(
        "kubectl", "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(map(node, range(NODES))), timeout_s=300
    )

    def ready() -> bool:
        jsonpath = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}'
        told = world.command("kubectl", "get", "nodes", "-l", "mizzen.dev/e2e=fake", "-o", f"jsonpath={jsonpath}")
        return told.split().count("True") == NODES

    until("all fake nodes are ready", ready, 180, 2)


def node(number: int) -> dict[str, Any]:
    """Eight GPUs, as NVIDIA's operator labels and taints them."""
    capacity = {"cpu": "96", "memory": "768Gi", "pods": "110", "nvidia.com/gpu": "8"}
    name = f"fake-gpu-{number:04}"
    labels = {
        **MARK,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": f"gpu-zone-{number % ZONES}",
        "nvidia.com/gpu.present": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def add_predictors(world: World, namespace: str) -> int:
    """The chart's render with values-gpu.yaml; only the GPU predictor gets pods, so that real nodes stay free."""
    values = yaml.safe_load((CHART / "values-gpu.yaml").read_text())
    services = [
        {**service, "minReplicas": REPLICAS if service["runtime"].endswith("gpu") else 0}
        for service in values["inference"]["services"]
    ]
    shared = {"accessMode": "ReadWriteMany", "storageClass": f"{namespace}-shared"}
    above = {
        "inference": {"services": services, "embedder": {"publish": False}},
        "volumes": {"models": shared},
        "crds": {"install": False},
    }
    file = world.values_file("gpu", install.merged(values, above))
    rendered = world.command("helm", "template", "mizzen", str(CHART), "-n", namespace, "-f", file, "--no-hooks")
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    # KServe's kinds are only there where its CRDs are.
    objects = [each for each in objects if not each["apiVersion"].startswith("serving.kserve.io")]
    for each in objects:
        # Services and stores are taken by the API server and kept without pods.
        if each["kind"] in {"Deployment", "StatefulSet"} and each["metadata"]["name"] != "flight-delay-predictor":
            each["spec"]["replicas"] = 0
    world.command("kubectl", "create", "namespace", namespace)
    volume = install.shared_volume(world, "models", namespace)
    world.command("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump(volume))
    text = yaml.safe_dump_all(objects)
    world.command("kubectl", "-n", namespace, "apply", "--server-side", "-f", "-", stdin=text)
    return len(objects)


def kserve_objects(world: World, namespace: str) -> int | str:
    """How many objects of KServe's kinds the API server takes; its CRDs are lent to a cluster that has none."""
    names = {kind: f"{kind}.serving.kserve.io" for kind in KSERVE}
    there = world.command("kubectl", "get", "crd", *names.values(), "--ignore-not-found", "-o", "name")
    missing = [kind for kind, name in names.items() if name not in there]
    files = [world.settings.kserve_crds / f"{kind}.yaml" for kind in missing]
    if not all(file.is_file() for file in files):
        return "not tried: KServe's CRDs are neither in the cluster nor in E2E_KSERVE_CRDS"
    words = (
        "--namespace",
        namespace,
        "-f",
        str(CHART / "values-gpu.yaml"),
        "--set",
        "inference.mode=kserve",
        "--no-hooks",
    )
    rendered = world.command("helm", "template", "mizzen", str(CHART), *words)
    objects = [
        each for each in yaml.safe_load_all(rendered) if each and each["apiVersion"].startswith("serving.kserve.io")
    ]
    try:
        for kind, file in zip(missing, files, strict=True):
            world.command("kubectl", "apply", "--server-side", "-f", str(file))
            established = ("kubectl", "wait", "--for=condition=Established", f"crd/{names[kind]}", "--timeout=60s")
            until(f"{kind} can be used", lambda: world.command(*established), 60)  # noqa: B023
        apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
        taken = world.command("kubectl", "-n", namespace, *apply, stdin=yaml.safe_dump_all(objects)).splitlines()
    finally:
        for kind in missing:
            world.command("kubectl", "delete", "crd", names[kind], check=False)
    if len(taken) != len(objects) or not objects:
        raise StepFailed(f"of {len(objects)} objects of KServe's kinds were taken: {taken}")
    return len(taken)


def placed(world: World, namespace: str) -> list[str] | None:
    """The nodes of all pods, when all run."""
    selector = "serving.kserve.io/inferenceservice=flight-delay"
    columns = '{range .items[?(@.status.phase=="Running")]}{.spec.nodeName}{" "}{end}'
    told = world.command("kubectl", "-n", namespace, "get", "pods", "-l", selector, "-o", f"jsonpath={columns}").split()
    return told if len(told) == REPLICAS else None


def judge(world: World, pods: list[str]) -> dict[str, Any]:
    strangers = [each for each in pods if not each.startswith("fake-gpu-")]
    nodes = Counter(pods)
    zones = Counter(int(each.rsplit("-", 1)[-1]) % ZONES for each in pods if each not in strangers)
    told: dict[str, Any] = {
        "off_gpu_nodes": len(strangers),
        "pods_a_zone": [min(zones.values()), max(zones.values())],
        "pods_a_node": [min(nodes.get(f"fake-gpu-{number:04}", 0) for number in range(NODES)), max(nodes.values())],
    }
    fewest, most = told["pods_a_zone"]
    if strangers or most - fewest > max(1, REPLICAS // ZONES // 10):
        raise StepFailed(json.dumps(told))
    return told
