"""The values that the steps install with, and what has to be in the cluster before."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.client import ENDPOINT
from tests.e2e.settings import ROOT
from tests.e2e.world import StepFailed, World, put_images, until

OURS = ("gateway", "features", "retrieval", "monitoring", "control", "triton-cpu")
OTHERS = ("jobs", "valkey", "postgresql")
NEXT = "e2e-next"
KIT_WEIGHT = 4096
UNTIL = "2013-11-27T19:00:00Z"
RUNS = [
    {"name": "publish", "args": ["publish"]},
    {"name": "materialize", "args": ["materialize", "--file", "examples/flights", "--until", UNTIL]},
    {"name": "ingest", "args": ["ingest", "handbook", "--from", "."]},
    {"name": "train", "args": ["train", "--publish"]},
]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as several `-f`."""
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = merged(made[key], value) if both else value
    return made


def first_values(world: World) -> dict[str, Any]:
    """The chart's default with two pods of each service, the Gateway, monitors, and images of this checkout."""
    settings = world.settings
    store = {"registry": "", "tag": settings.tag}
    shared = {"accessMode": "ReadWriteMany", "storageClass": settings.shared_class or f"{settings.namespace}-shared"}
    return {
        "image": {"tag": settings.tag},
        "crds": {"install": settings.crds},
        "serviceDefaults": {"replicas": 2},
        # Nothing waits for control (step 3), so two nodes of a laptop start one pod less when they are drained.
        "control": {"replicas": 1},
        "valkey": {"image": {**store, "repository": "mizzen/valkey"}, "runAsUser": 10001},
        "postgresql": {"image": {**store, "repository": "mizzen/postgresql"}, "runAsUser": 10001},
        "volumes": {"models": shared, "records": shared},
        "telemetry": {
            "serviceMonitors": {"enabled": True, "interval": "5s"},
            "rules": {"enabled": True},
            "dashboards": {"enabled": True},
        },
        "networking": {
            "gatewayApi": {
                "enabled": True,
                "createGateway": True,
                "className": settings.gateway_class,
                "httpPort": settings.gateway_port,
            }
        },
    }


def flights_values(world: World) -> dict[str, Any]:
    """And the example: its models, two pods each, and the Jobs that fill everything."""
    example = yaml.safe_load((ROOT / "examples/flights/helm.values").read_text())
    # Small requests: two nodes of a laptop hold everything twice, one pod more of each while it rolls, and the Jobs.
    small = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    services = [{**service, "minReplicas": 2, "resources": small} for service in example["inference"]["services"]]
    jobs = {"run": RUNS, "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}}
    return merged(first_values(world), {"inference": {"services": services}, "jobs": jobs})


def serving(values: Mapping[str, Any], model: str, storage_uri: str) -> dict[str, Any]:
    """Values in which one model is served from another path."""
    services = [
        {**service, "storageUri": storage_uri} if service["name"] == model else service
        for service in values["inference"]["services"]
    ]
    return merged(values, {"inference": {"services": services}})


def tagged(component: str, tag: str) -> dict[str, Any]:
    """Values that give one component another image."""
    image = {"image": {"tag": tag}}
    return {"inference": {"runtimes": {"cpu": image}}} if component == "inference" else {component: image}


def images(world: World) -> list[str]:
    return [f"mizzen/{name}:{world.settings.tag}" for name in (*OURS, *OTHERS)]


def sizes_mb(world: World) -> dict[str, int]:
    """Megabytes of each image on disk; services share all but the last few with one another."""
    told = world.command("docker", "image", "inspect", "--format", "{{.Size}}", *images(world)).split()
    return {name.split(":")[0]: round(int(size) / 1e6) for name, size in zip(images(world), told, strict=True)}


def next_version(world: World) -> list[str]:
    """Images of a next version: this one with another label, so that every pod is replaced by another image."""
    made = []
    for name in OURS:
        tag = f"mizzen/{name}:{NEXT}"
        text = f"FROM mizzen/{name}:{world.settings.tag}\nLABEL org.opencontainers.image.version={NEXT}\nENV MIZZEN_E2E=next\n"
        world.command("docker", "build", "--quiet", "-t", tag, "-", stdin=text)
        made.append(tag)
    return made


def prepare(world: World) -> None:
    """Images on nodes, the namespace with Pod Security, and volumes that every node can mount, empty in a new namespace."""
    if world.settings.nodes == "kit":
        weigh_pods(world)
    if world.settings.nodes != "none":
        put_images(world, [*images(world), *next_version(world)])
    new = not world.command("kubectl", "get", "namespace", world.namespace, "--ignore-not-found", "-o", "name")
    enforce = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace, "labels": enforce}})
    if not world.settings.shared_class:
        if new:
            for name in ("models", "records"):
                shutil.rmtree(shared_directory(world, name, world.namespace), ignore_errors=True)
        world.apply(*(shared_volume(world, name, world.namespace) for name in ("models", "records")))


def weigh_pods(world: World) -> None:
    """All pods of the kit weigh as much as one process of its machine: `helm` and an API server would leave them a third.

    On a node they weigh what its cores do (1,024 each); more would starve the API server.
    """
    file = "/sys/fs/cgroup/cpu/kube-kit/cpu.shares"
    world.command(world.settings.kit, "enter", "sh", "-c", f"test ! -w {file} || echo {KIT_WEIGHT} > {file}")


def shared_directory(world: World, claim: str, namespace: str) -> Path:
    return Path(world.settings.shared_directory) / f"{namespace}-{claim}"


def shared_volume(world: World, claim: str, namespace: str) -> dict[str, Any]:
    """A volume as a network file system gives: any node, many writers. Nodes of one machine share a directory."""
    name = f"{namespace}-{claim}"
    directory = shared_directory(world, claim, namespace)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {"mizzen.dev/e2e": namespace}},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": f"{namespace}-shared",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(directory)},
        },
    }


def address(world: World) -> str:
    """host:port of the Gateway API route, from this machine."""
    if world.settings.address:
        return world.settings.address

    def found() -> str:
        told = world.get("gateway.gateway.networking.k8s.io", "mizzen").get("status", {}).get("addresses", [])
        return f"{told[0]['value']}:80" if told else ""

    return until("the Gateway has an address", found, 60)


def key(world: World) -> str:
    return world.secret("mizzen-api-key", "api-key")


def finished(world: World, job: str, timeout_s: float) -> float:
    """Seconds that the newest Job of this name took; StepFailed with its log when it failed."""

    def done() -> Any:
        for found in world.items("jobs", "-l", f"mizzen.dev/job={job}"):
            status = found.get("status", {})
            if any(each["type"] == "Failed" and each["status"] == "True" for each in status.get("conditions", [])):
                raise SystemExit(f"Job {job} failed:\n{world.logs_of_job(found['metadata']['name'])[-3000:]}")
            if status.get("succeeded"):
                return found
        return None

    try:
        found = until(f"Job {job} is done", done, timeout_s)
    except SystemExit as error:
        raise StepFailed(str(error)) from error
    return seconds_between(found["status"]["startTime"], found["status"]["completionTime"])


def jobs_took(world: World, *names: str) -> float:
    """Seconds from the start of the first of these Jobs to the end of the last."""
    found = [each["status"] for each in world.items("jobs", "-l", f"mizzen.dev/job in ({','.join(names)})")]
    return seconds_between(min(each["startTime"] for each in found), max(each["completionTime"] for each in found))


def seconds_between(earlier: str, later: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def still_right(world: World, before: Mapping[str, Any]) -> None:
    """StepFailed when the example's prediction isn't what it was."""
    from tests.e2e.client import Rest

    after = Rest(address(world), key(world)).predict()
    if after["outputs"] != before["outputs"]:
        raise StepFailed(f"{ENDPOINT} answered {before['outputs']} and now {after['outputs']}")
