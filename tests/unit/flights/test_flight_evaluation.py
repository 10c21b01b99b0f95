"""What the example's evaluation adds to training.metrics."""

import numpy as np
import pytest
from evaluation import as_float32, metrics, roc_curve

from training.metrics import roc_auc


def test_roc_curve_encloses_the_same_area() -> None:
    chance = np.random.default_rng(1)
    probability = chance.random(4000)
    late = (chance.random(4000) < probability).astype(float)
    false, true = roc_curve(late, probability, 2001)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(late, probability), abs=1e-3)
    found = metrics(late, probability)
    assert (found["rows"], found["roc_auc"]) == (4000, roc_auc(late, probability))


def test_shortest_texts_are_the_same_float32() -> None:
    value = float(np.sin(0.7))
    assert np.float32(as_float32({"a": [value]})["a"][0]) == np.float32(value)
