"""Serving is training: what the public API answers is what the training set holds and what the graph makes of it.

And a year's two weeks through the API: drift is found where it was put, and only there.
"""

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import httpx2
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from training_set import ENDPOINT, HERE, definitions, flights

from tests.stack import Stack
from training import training_set

pytestmark = [pytest.mark.engines, pytest.mark.slow]
# The example's instant: what the online store holds.
AS_OF = "2013-11-27T19:00:00Z"


@pytest.mark.timeout(400)
def test_answers_are_what_training_saw(stack: Stack) -> None:
    root = stack.state / "volumes" / "offline"
    endpoint = definitions().endpoints[ENDPOINT]
    found = flights(
        root,
        "sched_dep >= TIMESTAMPTZ '2013-11-27 21:00Z' AND sched_dep < TIMESTAMPTZ '2013-11-28 02:00Z' AND tailnum IS NOT NULL",
    )
    frame = found.set_column(
        found.column_names.index("as_of"),
        "as_of",
        pa.array([datetime.fromisoformat(AS_OF)] * found.num_rows, pa.timestamp("us", "UTC")),
    )
    joined = training_set(definitions(), endpoint.references, frame, root)
    body = {
        "entities": {key: frame.column(key).to_pylist() for key in ("tailnum", "origin", "dest", "carrier")},
        "inputs": {
            "sched_dep": [each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in frame.column("sched_dep").to_pylist()],
            "distance": frame.column("distance").to_pylist(),
        },
        "options": {"as_of": AS_OF, "features": True},
    }
    answer = (
        httpx2.post(f"{stack.rest}/v1/endpoints/{ENDPOINT}:predict", json=body, timeout=30, trust_env=False)
        .raise_for_status()
        .json()
    )
    assert found.num_rows > 100
    for reference in endpoint.references:
        served = np.array(answer["features"][reference]["values"], dtype=np.float32)
        np.testing.assert_allclose(
            served, np.array(joined.column(reference).to_pylist(), dtype=np.float32), rtol=1e-6, err_msg=reference
        )
    tensors = {
        tensor.name: [column.removeprefix("input:").removeprefix("entity:") for column in tensor.features]
        for tensor in endpoint.spec.model.tensors
    }
    given = {
        "numeric": np.array(
            [joined.column(name).to_pylist() for name in tensors["numeric"]], dtype=np.float32
        ).T.copy(),
        "categorical": np.array(
            [joined.column(name).to_pylist() for name in tensors["categorical"]], dtype=object
        ).T.copy(),
    }
    graph = onnxruntime.InferenceSession(
        HERE / "model" / ENDPOINT / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    expected = np.asarray(graph.run(["probability"], given)[0])[:, 0]
    np.testing.assert_allclose(answer["outputs"]["probability"], expected, atol=1e-5)


@pytest.mark.timeout(400)
def test_injected_drift_is_flagged_and_the_week_before_is_not(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "drift.py"),
            "--from",
            "2013-11-04",
            "--days",
            "14",
            "--inject",
            "2013-11-11",
            "--plots",
            str(tmp_path),
        ],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    verdicts = dict(re.findall(r"(2013-\d\d-\d\d) +[\d,]+ rows +ROC-AUC [\d.]+ +(\w+)", done.stdout))
    assert verdicts == {"2013-11-04": "stable", "2013-11-11": "drift"}, done.stdout
    assert "input:distance" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"flights-injected-drift.svg", "flights-injected-quality.svg"}
