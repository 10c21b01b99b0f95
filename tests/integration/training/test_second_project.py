"""A project that is not flights trains by the same calls: its own table, definitions and scikit-learn's models, without torch."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn import metrics as reference
from sklearn.linear_model import LinearRegression, LogisticRegression

import training
from catalog import Catalog, read_directory
from chassis.errors import FailedPrecondition
from inference.packaging import verify
from training import Bound
from training.evaluation import Kind

DEFINITIONS = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: station-state}
spec:
  entities: [{name: station, dtype: STRING}]
  source:
    tables: {bikes: bikes.parquet}
    sql: select station, event_timestamp, bikes, docks from bikes
  features:
    - {name: bikes, dtype: FLOAT32, default: 3}
    - {name: docks, dtype: INT32}
  inputs: [{name: degrees, dtype: FLOAT64}]
  onDemand:
    - {name: share, dtype: FLOAT32, sql: "coalesce(bikes / docks, 0)"}
    - {name: warm, dtype: BOOL, sql: "degrees > 15 and hour(timezone('Europe/Prague', as_of)) < 20"}
---
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: bikes-in-an-hour}
spec:
  entities: [{name: station, dtype: STRING}]
  inputs: [{name: degrees, dtype: FLOAT64}]
  model:
    tensors:
      - {name: x, datatype: FP32, features: ["station_state:bikes", "station_state:share", "station_state:warm", "input:degrees"]}
    outputs: [{name: answer, dtype: FLOAT32, tensor: answer}]
  traffic:
    routes: [{inferenceService: bikes-in-an-hour, model: bikes}]
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: bikes-in-an-hour}
spec:
  predictor:
    model:
      modelFormat: {name: triton, version: "2"}
      protocolVersion: v2
      runtime: mizzen-triton-cpu
      storageUri: pvc://models/bikes/0000000000000000
"""
START = datetime(2024, 5, 1, tzinfo=UTC)
HOURS, STATIONS = 200, ("Anděl", "Florenc", "Karlín")
DOCKS = 20


@dataclass(frozen=True)
class Project:
    """A folder of definitions, and the offline root beside it."""

    folder: Path
    root: Path

    def catalog(self) -> Catalog:
        catalog = read_directory(self.folder)
        assert not catalog.errors
        return catalog


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Bikes at three stations every hour."""
    dice = np.random.default_rng(11)
    made = Project(tmp_path / "bikes", tmp_path / "offline")
    made.folder.mkdir()
    made.root.mkdir()
    (made.folder / "bikes.yaml").write_text(DEFINITIONS)
    rows = HOURS * len(STATIONS)
    instants = [START + timedelta(hours=hour) for hour in range(HOURS) for _ in STATIONS]
    table = {
        "station": list(STATIONS) * HOURS,
        "event_timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
        "bikes": dice.integers(0, DOCKS + 1, rows),
        "docks": np.full(rows, DOCKS),
    }
    pq.write_table(pa.table(table), made.root / "bikes.parquet")
    return made


def frame() -> pa.Table:
    """Half an hour after each row: what an application asked, and how many bikes there were an hour later."""
    dice = np.random.default_rng(12)
    rows = HOURS * len(STATIONS)
    asked = [START + timedelta(hours=hour, minutes=30) for hour in range(HOURS) for _ in STATIONS]
    return pa.table(
        {
            "station": list(STATIONS) * HOURS,
            "degrees": dice.normal(15, 6, rows),
            "as_of": pa.array(asked, pa.timestamp("us", "UTC")),
            "noise": dice.normal(0, 1, rows),
        }
    )


def graph(coefficients: NDArray[Any], intercept: float, is_binary: bool) -> bytes:
    """x FP32 [rows, n] → answer FP32 [rows, 1]: a straight line, and its sigmoid."""
    weights = np.asarray(coefficients, np.float32).reshape(-1, 1)
    line = helper.make_node("Gemm", ["x", "weights", "intercept"], ["line"])
    made = helper.make_graph(
        [line, helper.make_node("Sigmoid" if is_binary else "Identity", ["line"], ["answer"])],
        "bikes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(weights)])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["rows", 1])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([intercept], np.float32), "intercept"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_from_a_table_to_a_published_model(project: Project, kind: Kind) -> None:
    catalog = project.catalog()
    endpoint = catalog.endpoints["bikes-in-an-hour"]
    table = training.training_set(catalog, endpoint.references, frame(), project.root)
    tensors = training.tensors_of(endpoint, table)
    x = tensors["x"]
    later = 2 + 0.8 * x[:, 0] + 0.3 * (x[:, 3] - 15) + table.column("noise").to_numpy()
    truth = (later > 10).astype(float) if kind == "binary" else later

    tested = np.arange(len(truth)) >= len(truth) * 3 // 4
    if kind == "binary":
        fitted = LogisticRegression(max_iter=2000).fit(x[~tested], truth[~tested])
        predicted, usual = fitted.predict_proba(x)[:, 1], Bound("roc_auc", limit=0.9, worse_by=0)
    else:
        fitted = LinearRegression().fit(x[~tested], truth[~tested])
        predicted, usual = fitted.predict(x), Bound("rmse", limit=1.5, worse_by=0)
    models = training.evaluate_parts(
        truth,
        {"line": predicted, "mean": np.full(len(truth), truth[~tested].mean())},
        {"fitted": ~tested, "test": tested},
        kind,
    )
    found, baseline = models["line"]["test"], models["mean"]["test"]
    if kind == "binary":
        assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(truth[tested], predicted[tested]))
    else:
        assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth[tested], predicted[tested]))
    training.gate(found, baseline, [usual]).require()
    with pytest.raises(FailedPrecondition):
        training.gate(baseline, found, [usual]).require()

    digest = training.write_package(
        project.folder / "model",
        training.Package(
            endpoint=endpoint,
            schema_hash=catalog.schema_hash(endpoint.name),
            onnx=graph(fitted.coef_, float(np.ravel(fitted.intercept_)[0]), kind == "binary"),
            columns=training.columns_of(endpoint, {"x": x[~tested]}),
            outputs={"answer": predicted[~tested]},
            window=(START, START + timedelta(hours=HOURS * 3 // 4)),
            label_rate=float(truth[~tested].mean()) if kind == "binary" else None,
            evaluation={"models": models},
            card=training.card("Bikes", "How many in an hour.", {"Quality": training.models_table(models, "test")}),
        ),
    )
    training.point_to(project.folder, "bikes", digest)
    published = training.publish(project.folder / "model", project.root.parent / "models")
    assert published == project.root.parent / "models" / "bikes" / digest
    assert verify(published).schema_hash == catalog.schema_hash(endpoint.name)
    uri = project.catalog().inference_services["bikes-in-an-hour"].storage_uri
    assert uri == f"pvc://models/bikes/{digest}"
    session = onnxruntime.InferenceSession(published / "bikes" / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    answered = np.asarray(session.run(["answer"], {"x": x})[0])[:, 0]
    np.testing.assert_allclose(answered, predicted, rtol=1e-4, atol=1e-4)
    assert "torch" not in sys.modules


def test_a_training_set_holds_what_was_known_at_each_rows_instant(project: Project) -> None:
    """Against a search of its own, row by row."""
    rows = pq.read_table(project.root / "bikes.parquet").to_pylist()
    asked = frame().slice(0, 60).append_column("place", pa.array(range(60)))
    references = ["station_state:bikes", "station_state:share", "station_state:warm"]
    found = training.training_set(project.folder, references, asked, project.root)
    assert found.column("place").to_pylist() == list(range(60))
    for row in found.to_pylist():
        known = [each for each in rows if each["station"] == row["station"] and each["event_timestamp"] <= row["as_of"]]
        newest = max(known, key=lambda each: each["event_timestamp"])
        assert row["station_state:bikes"] == newest["bikes"]
        assert row["station_state:share"] == pytest.approx(newest["bikes"] / DOCKS)
        prague = row["as_of"].hour + 2  # summer time; these are the first 20 hours of the day
        assert row["station_state:warm"] is (row["degrees"] > 15 and prague < 20)
