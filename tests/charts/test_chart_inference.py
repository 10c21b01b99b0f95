"""Models: what KServe gets is the example's own InferenceService, and both modes run the same pod."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import FLIGHTS, GPU, ROOT, Object, merged, named, objects, of_kind, pods, render

EXAMPLE = list(yaml.safe_load_all((ROOT / "examples/flights/inferenceservice.yaml").read_text()))
KSERVE = tuple(render(merged(FLIGHTS, {"inference": {"mode": "kserve"}})))


@pytest.mark.parametrize("service", EXAMPLE, ids=lambda each: str(each["metadata"]["name"]))
def test_the_examples_inference_service_is_the_charts(service: Object) -> None:
    rendered = named(KSERVE, "InferenceService", service["metadata"]["name"])
    assert rendered["apiVersion"] == service["apiVersion"]
    assert rendered["spec"] == service["spec"]
    assert rendered["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


def test_the_example_is_whole() -> None:
    names = {each["metadata"]["name"] for each in EXAMPLE}
    assert {each["metadata"]["name"] for each in of_kind(KSERVE, "InferenceService")} == names
    assert {each["metadata"]["name"] for each in of_kind(KSERVE, "Deployment")}.isdisjoint(
        f"{name}-predictor" for name in names
    )


def test_without_kserve_readers_find_the_same_definitions() -> None:
    config = named(objects("flights"), "ConfigMap", "mizzen-inference-services")
    assert list(yaml.safe_load_all(config["data"]["inference-services.yaml"])) == EXAMPLE


def without_mount(container: Object) -> dict[str, Any]:
    mounts = [each for each in container["volumeMounts"] if each["mountPath"] != "/mnt/models"]
    return {**container, "volumeMounts": mounts}


def test_both_modes_run_the_same_container() -> None:
    """KServe adds the model's mount and takes resources from the InferenceService; all else is the ServingRuntime's."""
    runtime = named(KSERVE, "ServingRuntime", "mizzen-triton-cpu")["spec"]["containers"][0]
    for service in EXAMPLE:
        name = service["metadata"]["name"]
        (container,) = named(objects("flights"), "Deployment", f"{name}-predictor")["spec"]["template"]["spec"][
            "containers"
        ]
        model = service["spec"]["predictor"]["model"]
        assert without_mount(container) == {**runtime, "resources": model["resources"]}


def test_names_and_ports_are_kserves() -> None:
    service = named(objects("default"), "Service", "minilm-predictor")["spec"]
    ports = {port["name"]: (port["port"], port["targetPort"]) for port in service["ports"]}
    assert ports == {"http1": (80, "http1"), "h2c": (9000, "h2c")}
    pod = named(objects("default"), "Deployment", "minilm-predictor")["spec"]["template"]
    assert pod["metadata"]["labels"]["serving.kserve.io/inferenceservice"] == "minilm"
    (container,) = pod["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http1": 8090,
        "h2c": 9000,
        "metrics": 8002,
    }


def test_a_version_is_a_path_and_publishing_rolls() -> None:
    def model(digest: str) -> Object:
        service = {"name": "a", "storageUri": f"pvc://models/a/{digest}", "runtime": "mizzen-triton-cpu"}
        deployment = named(render({"inference": {"services": [service]}}), "Deployment", "a-predictor")
        template: Object = deployment["spec"]["template"]
        return template

    before, after = model("0" * 16), model("1" * 16)
    assert before != after
    (mount,) = [each for each in after["spec"]["containers"][0]["volumeMounts"] if each["mountPath"] == "/mnt/models"]
    assert (mount["subPath"], mount["readOnly"]) == ("a/" + "1" * 16, True)
    # The folder is made by whoever publishes, never by the mount.
    assert after["spec"]["initContainers"][0]["name"] == "await-model"


def test_other_storage_is_fetched_as_kserve_does() -> None:
    service = {"name": "a", "storageUri": "s3://bucket/a", "runtime": "mizzen-triton-cpu"}
    spec = named(render({"inference": {"services": [service]}}), "Deployment", "a-predictor")["spec"]["template"][
        "spec"
    ]
    (init,) = spec["initContainers"]
    assert init["args"] == ["s3://bucket/a", "/mnt/models"]
    assert init["image"].startswith("docker.io/kserve/storage-initializer:")


def test_gpus_are_asked_for_by_values() -> None:
    spec = named(objects("gpu"), "Deployment", "flight-delay-predictor")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    mig = merged(objects_values(), {"inference": {"runtimes": {"gpu": {"resource": "nvidia.com/mig-1g.10gb"}}}})
    sliced = named(render(mig), "Deployment", "flight-delay-predictor")["spec"]["template"]["spec"]["containers"][0]
    assert "nvidia.com/mig-1g.10gb" in sliced["resources"]["limits"]
    assert "nvidia.com/gpu" not in sliced["resources"]["limits"]


def test_a_gpu_predictor_starts_only_with_an_examined_model(tmp_path: Path) -> None:
    """The rendered command itself, with an echo in tritonserver's place."""
    (container,) = named(objects("gpu"), "Deployment", "flight-delay-predictor")["spec"]["template"]["spec"][
        "containers"
    ]
    server, serving = tmp_path / "bin" / "tritonserver", tmp_path / "serving"
    server.parent.mkdir()
    serving.mkdir()
    server.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    server.chmod(0o755)
    assert "--model-repository=/mnt/serving/0" in container["args"]
    command = [word.replace("/mnt/serving", str(serving)) for word in container["command"]]

    def start() -> subprocess.CompletedProcess[str]:
        path = {"PATH": f"{server.parent}:{os.environ['PATH']}"}
        return subprocess.run([*command, "--a=1", "b c"], env=path, capture_output=True, text=True, check=False)

    empty = start()
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "no examined model" in empty.stderr
    (serving / "0").mkdir()
    assert start().stdout == "--a=1|b c|"


GPU_KSERVE = merged(GPU, {"inference": {"mode": "kserve", "allowCode": ["Ranker", "Other"]}})


def test_a_gpu_predictors_model_is_examined_by_the_cpu_runtimes_image_first() -> None:
    """NVIDIA's image has no reader of packages; in both modes an init container copies what was examined."""
    spec = named(objects("gpu"), "Deployment", "flight-delay-predictor")["spec"]["template"]["spec"]
    predictor = named(render(GPU_KSERVE), "InferenceService", "flight-delay")["spec"]["predictor"]
    (runtime,) = named(render(GPU_KSERVE), "ServingRuntime", "mizzen-triton-gpu")["spec"]["containers"]
    (server,) = spec["containers"]
    for init in (spec["initContainers"][-1], predictor["initContainers"][-1]):
        assert init["image"].startswith("mizzen/triton-cpu:")
        assert init["command"] == ["python3", "-m", "inference.staging", "/mnt/serving", "/mnt/models"]
        mounts = {each["mountPath"]: each for each in init["volumeMounts"]}
        assert mounts["/mnt/models"]["readOnly"]
        assert mounts["/mnt/models"]["subPath"].startswith("flight-delay/")
        assert "readOnly" not in mounts["/mnt/serving"]
    for container in (server, runtime):
        assert {"name": "serving", "mountPath": "/mnt/serving", "readOnly": True} in container["volumeMounts"]
        assert "--model-repository=/mnt/models" not in container["args"]
    assert [each["name"] for each in predictor["volumes"]] == ["model-source"]


def test_models_with_code_are_named_by_the_operator_alone() -> None:
    """`allowCode` is a value of the chart: it reaches the examination, and by default nothing does."""

    def told(container: Object) -> str | None:
        values = {each["name"]: each.get("value") for each in container["env"]}
        assert values["MIZZEN_INFERENCE_SERVING"] == "/mnt/serving"
        return values.get("MIZZEN_INFERENCE_ALLOW_CODE")

    for name in ("ServingRuntime", "Deployment"):
        for values, expected in (({}, None), ({"allowCode": ["Ranker", "Other"]}, "Ranker,Other")):
            mode = "kserve" if name == "ServingRuntime" else "deployment"
            found = render(merged({"inference": {"mode": mode}}, {"inference": values}))
            each = named(found, name, "mizzen-triton-cpu" if mode == "kserve" else "minilm-predictor")["spec"]
            (container,) = each["containers"] if mode == "kserve" else each["template"]["spec"]["containers"]
            assert told(container) == expected
    init = named(render(GPU_KSERVE), "InferenceService", "flight-delay")["spec"]["predictor"]["initContainers"][-1]
    assert told(init) == "Ranker,Other"
    with pytest.raises(Exception, match="allowCode"):
        render({"inference": {"allowCode": ["../x"]}})


def test_a_service_says_which_models_it_holds() -> None:
    service = {
        "name": "ranker",
        "storageUri": "pvc://models/ranker",
        "runtime": "mizzen-triton-cpu",
        "models": ["Ranker", "Other"],
    }
    for mode in ("kserve", "deployment"):
        found = render({"inference": {"mode": mode, "services": [service]}})
        if mode == "kserve":
            annotations = named(found, "InferenceService", "ranker")["metadata"]["annotations"]
            assert annotations["serving.kserve.io/deploymentMode"] == "Standard"
        else:
            text = named(found, "ConfigMap", "mizzen-inference-services")["data"]["inference-services.yaml"]
            annotations = yaml.safe_load(text)["metadata"]["annotations"]
        assert annotations["mizzen.dev/models"] == "Ranker,Other"


def objects_values() -> Object:
    return dict(yaml.safe_load((ROOT / "charts/mizzen/values-gpu.yaml").read_text()))


def test_the_default_has_only_the_embedder_and_a_job_that_copies_it() -> None:
    found = objects("default")
    predictors = [
        each["metadata"]["name"]
        for each in of_kind(found, "Deployment")
        if each["metadata"]["name"].endswith("-predictor")
    ]
    assert predictors == ["minilm-predictor"]
    (job,) = [each for each in of_kind(found, "Job") if each["metadata"]["name"].startswith("mizzen-embedder-")]
    uri = EXAMPLE[1]["spec"]["predictor"]["model"]["storageUri"]
    assert uri.endswith(job["spec"]["template"]["spec"]["containers"][0]["args"][1])


def test_every_claim_has_a_pod_that_mounts_it() -> None:
    """A volume that waits for its first consumer, and never gets one, would keep `helm install --wait` waiting."""
    for values in ({}, {"inference": {"embedder": {"publish": False}}}):
        found = render(values)
        mounted = {
            volume["persistentVolumeClaim"]["claimName"]
            for _, pod in pods(found)
            for volume in pod["spec"].get("volumes", [])
            if "persistentVolumeClaim" in volume
        }
        assert {each["metadata"]["name"] for each in of_kind(found, "PersistentVolumeClaim")} <= mounted


def test_jobs_change_their_name_with_their_content() -> None:
    """A Job can't be changed, so an upgrade with other content has to be another Job."""
    names = {
        each["metadata"]["name"]
        for tag in ("1", "2")
        for each in of_kind(render({"image": {"tag": tag}}), "Job")
        if each["metadata"]["name"].startswith("mizzen-embedder-")
    }
    assert len(names) == 2
