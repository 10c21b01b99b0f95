"""Which measures a report gives of which labels."""

import numpy as np

from monitoring.domain.quality import quality


def test_few_labels_give_no_measures_and_coverage_all_the_same() -> None:
    found = quality(100, np.full(10, 0.5), np.ones(10), "binary")
    assert (found.roc_auc, found.brier, found.coverage) == (None, None, 0.1)


def test_regression_measures_errors() -> None:
    found = quality(100, np.full(50, 3.0), np.full(50, 1.0), "regression")
    assert (found.mae, found.rmse, found.roc_auc) == (2.0, 2.0, None)
