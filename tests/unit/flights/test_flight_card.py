"""The example's card: its own words around the tables of the room that measures."""

import json
from pathlib import Path

import numpy as np
from card import card_text
from training_set import ENDPOINT, TrainingSet, definitions


def test_the_committed_card_is_the_committed_evaluations(example: Path) -> None:
    package = example / "model" / ENDPOINT / "package"
    evaluation = json.loads((package / "evaluation.json").read_text())
    numeric, categorical = (tensor.features for tensor in definitions().endpoints[ENDPOINT].spec.model.tensors)
    rows = sum(part["rows"] for part in evaluation["models"]["network"].values())
    data = TrainingSet(
        numeric=np.zeros((rows, 0), np.float32),
        categorical=np.zeros((rows, 0), np.str_),
        numeric_refs=numeric,
        categorical_refs=categorical,
        late=np.zeros(rows, np.float32),
        month=np.zeros(rows, np.int64),
        left_out=evaluation["left_out"],
    )
    text = card_text(data, evaluation, definitions().schema_hash(ENDPOINT))
    assert text == (package / "card.md").read_text()
