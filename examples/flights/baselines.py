"""Simpler and stronger models on the same features, to know what the network is worth."""

from __future__ import annotations

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Floats = NDArray[np.float64]
SEED = 2013


def logistic_regression(
    numeric: NDArray[np.float32], codes: NDArray[np.int64], late: NDArray[np.float32], fitted_on: NDArray[np.bool_]
) -> Floats:
    """Probabilities of all rows: imputed and scaled numbers, one-hot words, fitted on the rows `fitted_on`."""
    rows = np.hstack([numeric.astype(np.float64), codes])
    width = numeric.shape[1]
    prepared = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
                slice(0, width),
            ),
            ("words", OneHotEncoder(handle_unknown="ignore"), slice(width, rows.shape[1])),
        ]
    )
    model = make_pipeline(prepared, LogisticRegression(max_iter=60, tol=1e-3))
    model.fit(rows[fitted_on], late[fitted_on])
    return np.asarray(model.predict_proba(rows)[:, 1])


def boosting(
    numeric: NDArray[np.float32], codes: NDArray[np.int64], late: NDArray[np.float32], fitted_on: NDArray[np.bool_]
) -> Floats:
    """Probabilities of all rows by LightGBM, fitted on the rows `fitted_on`."""
    rows = np.hstack([numeric, codes.astype(np.float32)])
    words = list(range(numeric.shape[1], rows.shape[1]))
    settings = {
        "objective": "binary", "learning_rate": 0.06, "num_leaves": 24, "min_data_in_leaf": 300, "feature_fraction": 0.4,
        "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 10, "seed": SEED, "deterministic": True, "num_threads": 1,
        "verbosity": -1,
    }  # fmt: skip
    data = lightgbm.Dataset(rows[fitted_on], late[fitted_on], categorical_feature=words)
    return np.asarray(lightgbm.train(settings, data, 150).predict(rows, num_threads=1))
