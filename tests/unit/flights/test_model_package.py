"""The committed package: whole, fit for the endpoint, as good as promised, and robust against what it never saw."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from training_set import ENDPOINT, definitions

from inference.examine import read_config
from inference.packaging import verify

FOLDER = Path(ENDPOINT)


@pytest.fixture(scope="module")
def session(example: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        example / "model" / FOLDER / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def evaluation(example: Path) -> dict[str, Any]:
    return dict(json.loads((example / "model" / FOLDER / "package" / "evaluation.json").read_text()))


def test_the_package_is_whole_small_and_of_the_endpoints_schema(example: Path) -> None:
    manifest = verify(example / "model")
    catalog = definitions()
    assert manifest.schema_hash == catalog.schema_hash(ENDPOINT)
    assert catalog.inference_services[ENDPOINT].storage_uri == f"pvc://models/{ENDPOINT}/{manifest.digest}"
    named = {
        uri
        for path in (*example.rglob("*.yaml"), *example.rglob("*.values"))
        for uri in re.findall(rf"pvc://models/{ENDPOINT}/(\w+)", path.read_text())
    }
    assert named == {manifest.digest}
    assert sum(path.stat().st_size for path in (example / "model").rglob("*") if path.is_file()) <= 1_000_000


def test_tensors_are_the_endpoints(example: Path) -> None:
    config = read_config(example / "model" / FOLDER / "config.pbtxt")
    tensors = definitions().endpoints[ENDPOINT].spec.model.tensors
    assert [(each.name, list(each.dims)) for each in config.input] == [
        (each.name, [len(each.features)]) for each in tensors
    ]
    baseline = json.loads(config.parameters["mizzen.baseline"].string_value)
    assert set(baseline) == {column for tensor in tensors for column in tensor.features}


def test_it_is_as_good_as_promised(evaluation: dict[str, Any]) -> None:
    test = {model: parts["test"] for model, parts in evaluation["models"].items()}
    assert test["network"]["roc_auc"] >= 0.74
    assert test["network"]["roc_auc"] > test["logistic_regression"]["roc_auc"]
    assert test["network"]["ece"] <= 0.02
    assert evaluation["left_out"] == {"cancelled": 8255, "diverted": 1175}


def test_profile_covers_every_column_and_output(example: Path) -> None:
    profile = json.loads((example / "model" / FOLDER / "package" / "profile.json").read_text())
    endpoint = definitions().endpoints[ENDPOINT]
    assert set(profile["features"]) == {column for tensor in endpoint.spec.model.tensors for column in tensor.features}
    assert set(profile["outputs"]) == {output.name for output in endpoint.spec.model.outputs}
    assert profile["schema_hash"] == definitions().schema_hash(ENDPOINT)
    assert profile["window"]["to"].startswith("2013-10-01")


def _answer(
    session: onnxruntime.InferenceSession, numeric: NDArray[np.float32], words: list[list[str]]
) -> NDArray[np.float32]:
    return np.asarray(
        session.run(["probability"], {"numeric": numeric, "categorical": np.array(words, dtype=object)})[0]
    )


def test_nothing_known_is_still_a_probability(session: onnxruntime.InferenceSession) -> None:
    width = session.get_inputs()[0].shape[1]
    found = _answer(session, np.full((2, width), np.nan, np.float32), [["B6", "JFK", "LAX"], ["??", "", "Zürich"]])
    assert found.shape == (2, 1)
    assert ((found > 0.02) & (found < 0.7)).all()


@pytest.mark.parametrize("extreme", [1e30, -1e30, np.float32(3e38)])
def test_extreme_numbers_stay_probabilities(session: onnxruntime.InferenceSession, extreme: float) -> None:
    width = session.get_inputs()[0].shape[1]
    found = _answer(session, np.full((1, width), extreme, np.float32), [["B6", "JFK", "LAX"]])
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_rows_do_not_influence_each_other(session: onnxruntime.InferenceSession) -> None:
    chance = np.random.default_rng(7)
    numeric = chance.normal(size=(40, session.get_inputs()[0].shape[1])).astype(np.float32)
    words = [["UA", "EWR", "SFO"]] * 40
    together = _answer(session, numeric, words)
    apart = np.concatenate([_answer(session, numeric[row : row + 1], words[:1]) for row in range(40)])
    np.testing.assert_allclose(together, apart, atol=1e-6)
