"""Every pod is "restricted" and more, starts and stops as promised, and no image floats."""

import re
from collections.abc import Iterator

import pytest

from tests.charts.rendering import PRESETS, Object, containers, named, objects, of_kind, pods, render

OURS = ("gateway", "features", "retrieval", "monitoring", "control")
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
# Restricted, field by field (Pod Security Standards), and a root that can't be written.
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def faults(name: str, pod: Object) -> Iterator[str]:
    """What the pod lacks of "restricted"."""
    spec = pod["spec"]
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(flag):
            yield f"{name}: {flag}"
    for volume in spec.get("volumes", []):
        kind = (set(volume) - {"name"}).pop()
        if kind not in VOLUMES:
            yield f"{name}: volume {volume['name']} is a {kind}"
        if kind == "emptyDir" and "sizeLimit" not in volume[kind]:
            yield f"{name}: emptyDir {volume['name']} has no size"
    for container in containers(pod):
        context = container.get("securityContext", {})
        yield from (
            f"{name}/{container['name']}: {key} is {context.get(key)}"
            for key, wanted in CONTAINER.items()
            if context.get(key) != wanted
        )
        if context.get("runAsUser", 0) < 999:
            yield f"{name}/{container['name']}: runs as {context.get('runAsUser')}"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}/{container['name']}: hostPort"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_pod_is_restricted(preset: str) -> None:
    found = list(pods(objects(preset)))
    assert len(found) >= 5
    assert [fault for name, pod in found for fault in faults(name, pod)] == []
    for name, pod in found:
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name


def test_serving_runtimes_are_restricted_without_kserves_help() -> None:
    runtimes = of_kind(objects("kserve"), "ServingRuntime")
    assert {each["metadata"]["name"] for each in runtimes} == {"mizzen-triton-cpu", "mizzen-triton-gpu"}
    for runtime in runtimes:
        assert list(faults(runtime["metadata"]["name"], runtime)) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_every_container_says_what_it_needs_and_where_it_is_from(preset: str) -> None:
    for name, pod in pods(objects(preset)):
        for container in containers(pod):
            where = f"{name}/{container['name']}"
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), where
            assert "memory" in container["resources"]["limits"], where
            assert re.search(r"^[a-z0-9./:-]+(:[A-Za-z0-9._-]+$|@sha256:[0-9a-f]{64}$)", container["image"]), where
            assert not container["image"].endswith(":latest"), where


def test_the_chart_wide_registry_is_every_images() -> None:
    images = {c["image"] for _, pod in pods(objects("air-gapped")) for c in containers(pod)}
    assert len(images) >= 7
    assert all(image.startswith("registry.internal:5000/") for image in images)
    pulls = [pod["spec"]["imagePullSecrets"] for _, pod in pods(objects("air-gapped"))]
    assert all(pull == [{"name": "key"}] for pull in pulls)


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    gateway = named(render({"gateway": {"image": {"digest": digest}}}), "Deployment", "mizzen-gateway")
    assert gateway["spec"]["template"]["spec"]["containers"][0]["image"] == f"mizzen/gateway@{digest}"


@pytest.mark.parametrize("preset", PRESETS)
def test_tokens_are_mounted_only_for_who_asks_the_api(preset: str) -> None:
    may = {"gateway", "features", "retrieval", "monitoring", "control", "jobs", "secrets"}
    bound = {subject["name"] for each in of_kind(objects(preset), "RoleBinding") for subject in each["subjects"]}
    for name, pod in pods(objects(preset)):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        token = pod["spec"]["automountServiceAccountToken"]
        assert token == (component in may), name
        if token:
            assert pod["spec"]["serviceAccountName"] in bound, name
        assert pod["spec"]["serviceAccountName"] != "default", name


def test_roles_are_least() -> None:
    for role in of_kind(objects("everything"), "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            writes = set(rule["verbs"]) - {"get", "list", "watch"}
            name = role["metadata"]["name"]
            if name == "mizzen-control-definitions" and writes:
                assert writes == {"create", "update", "delete"}
                assert set(rule["resources"]) <= {"featureviews", "endpoints", "collections", "inferenceservices"}
            elif writes:
                status = all(resource.endswith("/status") for resource in rule["resources"])
                assert status or name == "mizzen-secrets", name
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["create"] or rule["resourceNames"], "Secrets are read by name"


@pytest.mark.parametrize("service", OURS)
def test_services_start_and_stop_as_promised(service: str) -> None:
    deployment = named(objects("default"), "Deployment", f"mizzen-{service}")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 6}}
    environment = {each["name"]: each.get("value") for each in container["env"]}
    stop = 6 + float(environment["MIZZEN_DRAIN_S"]) + float(environment["MIZZEN_GRACE_S"])
    assert pod["terminationGracePeriodSeconds"] > stop + 5
    startup, ready, live = (container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 120
    assert (ready["httpGet"]["path"], live["httpGet"]["path"]) == ("/readyz", "/healthz")
    assert ready["periodSeconds"] <= 2
    assert ready["failureThreshold"] <= 2
    assert live["failureThreshold"] >= 5
    for spread in pod["topologySpreadConstraints"]:
        assert spread["matchLabelKeys"] == ["pod-template-hash"]
    budget = named(objects("default"), "PodDisruptionBudget", f"mizzen-{service}")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"]


def test_an_autoscaler_owns_the_number_of_pods() -> None:
    found = objects("everything")
    for service in OURS:
        assert "replicas" not in named(found, "Deployment", f"mizzen-{service}")["spec"]
    scalers = of_kind(found, "HorizontalPodAutoscaler", "ScaledObject")
    targets = {each["metadata"]["name"]: each for each in scalers}
    assert set(targets) == {f"mizzen-{service}" for service in OURS}
    assert targets["mizzen-gateway"]["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert (
        targets["mizzen-retrieval"]["spec"]["metrics"][0]["pods"]["metric"]["name"] == "mizzen_chassis_server_in_flight"
    )
    assert targets["mizzen-features"]["kind"] == "ScaledObject"
    assert named(objects("default"), "Deployment", "mizzen-gateway")["spec"]["replicas"] == 1


@pytest.mark.parametrize("service", OURS)
def test_settings_of_the_environment_exist(service: str) -> None:
    """Each MIZZEN_ variable that a pod is given is one that its service reads."""
    import importlib

    model = importlib.import_module(f"{service}.settings").Settings
    prefix = str(model.model_config["env_prefix"])
    read = {str(info.validation_alias or f"{prefix}{name}".upper()) for name, info in model.model_fields.items()}
    container = named(objects("everything"), "Deployment", f"mizzen-{service}")["spec"]["template"]["spec"][
        "containers"
    ][0]
    given = {each["name"] for each in container["env"]} - {"POD_NAME"}
    # Some share one address book of the stores: what a service doesn't read is not harmful, but nothing else is given.
    stores = {f"MIZZEN_{store}_{what}" for store in ("ONLINE", "STREAM") for what in ("URL", "PASSWORD_FILE")}
    assert given - read <= stores | {"MIZZEN_TENANT_LABELS"}
    needed = {alias for alias in read if alias.endswith(("_ADDRESSES", "POSTGRES_URL", "STREAM_URL", "ONLINE_URL"))}
    assert needed <= given
