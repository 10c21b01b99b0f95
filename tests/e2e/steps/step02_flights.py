"""Step 2."""

import json
import re
from typing import Any

from tests.e2e import client, install
from tests.e2e.settings import ROOT
from tests.e2e.world import RELEASE, StepFailed, World, until

TITLE = "The example, by kubectl and Jobs"
PROVES = (
    "`kubectl apply -f examples/flights` and Jobs (publish, materialize, ingest) lead to prediction, search, ask, "
    "label and report over REST and gRPC through a Gateway API route; `helm test` passes. A Job trains the model anew, as good as "
    "the committed one, and publishes it, and it is served."
)
FILLING = ("publish", "materialize", "ingest")
TOLERANCE = 0.005

KNOWN_AT = "2013-11-28T00:30:00Z"


def run(world: World) -> dict[str, Any]:
    world.kubectl("apply", *(word for path in definitions() for word in ("-f", path)))
    world.upgrade(install.flights_values(world))
    figures: dict[str, Any] = {f"job_{name}_s": install.finished(world, name, 600) for name in FILLING}
    figures["first_job_started_to_last_done_s"] = install.jobs_took(world, *FILLING)
    figures["definitions_accepted_and_filled"] = filled(world)
    address, key = install.address(world), install.key(world)
    rest, grpc = client.Rest(address, key), client.Grpc(address, key)
    predicted = until("a prediction with features", lambda: whole(rest.predict(features=True, explain=True)), 90)
    figures["probability"] = round(predicted["outputs"]["probability"][0], 4)
    figures |= over_rest(rest, predicted) | over_grpc(grpc, predicted)
    grpc.close()
    report = until("a report with records", lambda: rest.ok("GET", f"/v1/endpoints/{client.ENDPOINT}/report"), 60)
    figures["report_sections"] = len(report)
    world.helm("test", "mizzen", "--timeout", "3m")
    figures["helm_test"] = "passed"
    return figures | trained(world, rest, predicted)


def trained(world: World, rest: client.Rest, before: dict[str, Any]) -> dict[str, Any]:
    """The package that the Job trained: as good as the committed one, and served in its place until it is rolled back."""
    took = install.finished(world, "train", 900)
    log = world.logs_of_job(world.items("jobs", "-l", "mizzen.dev/job=train")[0]["metadata"]["name"])
    published = re.search(r"^pvc://models/flight-delay/[0-9a-f]{16}$", log, re.MULTILINE)
    told = re.search(r"ROC-AUC (?P<roc_auc>[0-9.]+), at least.*ECE (?P<ece>[0-9.]+), at most", log, re.DOTALL)
    if not published or not told:
        raise StepFailed(f"the training's log has no address or no measures: {log[-2000:]}")
    committed = ROOT / "examples/flights/model/flight-delay/package/evaluation.json"
    wanted = json.loads(committed.read_text())["models"]["network"]["test"]
    measures = {name: float(value) for name, value in told.groupdict().items()}
    if any(abs(value - wanted[name]) > TOLERANCE for name, value in measures.items()):
        raise StepFailed(f"trained {measures}, committed {wanted}")
    endpoint = world.get("endpoint.mizzen.dev", client.ENDPOINT)
    conditions = {each["type"]: each["status"] for each in endpoint["status"]["conditions"]}
    if conditions.get("Trained") != "True":
        raise StepFailed(f"the Endpoint's conditions do not say that it was trained: {conditions}")
    world.upgrade(install.serving(install.flights_values(world), "flight-delay", published[0]))
    # Trained with the same data on another machine it is another model, unless every bit came out the same.
    now = rest.predict()
    same = published[0].endswith(committed_digest())
    if (now["model_versions"] == before["model_versions"]) != same:
        raise StepFailed(
            f"{published[0]} is served by versions {now['model_versions']}, before {before['model_versions']}"
        )
    world.helm("rollback", RELEASE, "--wait", "--timeout", "10m")
    install.still_right(world, before)
    return {
        "job_train_s": took,
        "trained": measures,
        "trained_is_bit_for_bit_the_committed_package": same,
        "trained_probability": round(now["outputs"]["probability"][0], 4),
    }


def committed_digest() -> str:
    """The last part of the storageUri in the example's values."""
    return str(
        re.findall(r"models/flight-delay/([0-9a-f]{16})", (ROOT / "examples/flights/helm.values").read_text())[0]
    )


def definitions() -> list[str]:
    """The example's definitions but KServe's objects, which a cluster without KServe can't take."""
    found = sorted((ROOT / "examples/flights").glob("*.yaml"))
    return [str(path) for path in found if path.name != "inferenceservice.yaml"]


def filled(world: World) -> int:
    """How many definitions say that they are in use, and of those that Jobs fill that it was done."""
    jobs = {"FeatureView": "Materialized", "Collection": "Ingested"}
    found = world.items("featureviews,endpoints.mizzen.dev,collections")
    for each in found:
        name, kind = each["metadata"]["name"], each["kind"]
        conditions = {one["type"]: one for one in each.get("status", {}).get("conditions", [])}
        # A view without a source has only features on demand.
        wanted = {"Accepted"} | (
            {jobs[kind]} if kind in jobs and (kind != "FeatureView" or "source" in each["spec"]) else set()
        )
        if wrong := [type_ for type_ in sorted(wanted) if conditions.get(type_, {}).get("status") != "True"]:
            raise StepFailed(f"{kind} {name} is not {wrong[0]}: {conditions.get(wrong[0])}")
    return len(found)


def whole(answer: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, when the online store had something to say about it."""
    statuses = [feature["statuses"][0] for feature in answer["features"].values()]
    return answer if statuses.count("PRESENT") > len(statuses) * 0.8 and not answer.get("degraded") else None


def over_rest(rest: client.Rest, predicted: dict[str, Any]) -> dict[str, Any]:
    found = rest.search(client.QUESTION)
    asked = rest.ok("POST", f"/v1/collections/{client.COLLECTION}:ask", {"question": client.QUESTION})
    label = {
        "request_id": predicted["request_id"],
        "row": 0,
        "output": "probability",
        "value": 0.0,
        "event_time": KNOWN_AT,
    }
    labelled = rest.ok("POST", "/v1/labels", {"labels": [label]})
    if not found["passages"] or not asked["citations"]:
        raise StepFailed(f"search found {len(found['passages'])} passages, ask cites {len(asked['citations'])}")
    return {"passages": len(found["passages"]), "citations": len(asked["citations"]), "labels": labelled.get("stored")}


def over_grpc(grpc: client.Grpc, predicted: dict[str, Any]) -> dict[str, Any]:
    answer = grpc.predict()
    values = answer.outputs["probability"]
    probability = next(iter(values.doubles.values))
    if abs(probability - predicted["outputs"]["probability"][0]) > 1e-5:
        raise StepFailed(f"gRPC says {probability}, REST {predicted['outputs']['probability'][0]}")
    if not grpc.search().passages or not grpc.ask(client.QUESTION):
        raise StepFailed("gRPC search or ask is empty")
    stored = grpc.put_label(answer.request_id, 0.0)
    grpc.report()
    return {"grpc_labels": int(stored.stored)}
