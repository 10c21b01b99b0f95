"""The model package of an Endpoint: graph, config.pbtxt, evaluation, reference profile, card; written whole and sealed."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog import Endpoint
from chassis.errors import InvalidArgument
from inference.config import ModelConfig, config_text
from inference.graph_tensors import graph_tensors
from inference.packaging import seal
from training.profile import build_profile

EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Package:
    """What a package is made of.

    endpoint, schema_hash: the Endpoint that asks the model, and its hash as in `Catalog.schema_hash`. onnx: the graph.
    columns: reference → column [rows] of the reference window (`columns_of`), outputs: output → its answers for those rows;
    window: [from, to) of event time, with time zone; label_rate: the share of positive labels there, None for a regression.
    evaluation, card: what was measured, and the card's Markdown. documents: further texts by their path under package/.
    """

    endpoint: Endpoint
    schema_hash: str
    onnx: bytes
    columns: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    window: tuple[datetime, datetime]
    label_rate: float | None
    evaluation: Mapping[str, Any]
    card: str
    documents: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model's name in its repository: that of the Endpoint's first route."""
        return self.endpoint.spec.traffic.routes[0].model


def write_package(root: Path, package: Package) -> str:
    """Replaces the package at `root`, whole or not at all, and returns its digest.

    InvalidArgument when the graph's inputs are not the Endpoint's tensors, when a column of the reference window has no
    value, and for what no package holds (`inference.examine`).
    """
    config = config_text(_config(package))
    described = _described(package)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".package-") as scratch:
        made = Path(scratch) / "model"
        folder = made / package.model
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "model.onnx").write_bytes(package.onnx)
        (folder / "config.pbtxt").write_text(config)
        for name, text in described.items():
            path = folder / "package" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        manifest = seal(made)
        if root.exists():
            root.rename(Path(scratch) / "replaced")
        shutil.move(made, root)
    return manifest.digest


def evaluation_of(root: Path, model: str) -> dict[str, Any]:
    """What was measured of the package at `root`: its evaluation.json. FileNotFoundError when there is none."""
    return dict(json.loads((root / model / "package" / EVALUATION).read_text()))


def point_to(project: Path, model: str, digest: str) -> None:
    """Writes `digest` into every storageUri `pvc://models/MODEL/…` of a project's definitions and Helm values."""
    for path in (*project.rglob("*.yaml"), *project.rglob("*.values")):
        text, found = re.subn(rf"(pvc://models/{re.escape(model)}/)[0-9a-f]{{16}}", rf"\g<1>{digest}", path.read_text())
        if found:
            path.write_text(text)


def _config(package: Package) -> ModelConfig:
    inputs, outputs = graph_tensors(package.onnx)
    asked = {(each.name, each.datatype, (len(each.features),)) for each in package.endpoint.spec.model.tensors}
    given = {(each.name, each.datatype, each.dims) for each in inputs}
    if asked != given:
        raise InvalidArgument(
            f"The graph takes {sorted(given - asked) or 'less'} where Endpoint {package.endpoint.name} gives "
            f"{sorted(asked - given) or 'nothing'}.",
            reason="TENSORS_DIFFER",
            field="onnx",
        )
    return ModelConfig(
        name=package.model,
        backend="onnxruntime",
        inputs=inputs,
        outputs=outputs,
        parameters={
            "mizzen.schema_hash": package.schema_hash,
            "mizzen.version": sha256(package.onnx).hexdigest()[:12],
            "mizzen.baseline": json.dumps(
                {name: _typical(name, column) for name, column in package.columns.items()}, separators=(",", ":")
            ),
        },
    )


def _typical(name: str, column: NDArray[Any]) -> float | str:
    """The median of numbers, the most frequent text."""
    if column.dtype.kind not in "biuf":
        values, counts = np.unique(column, return_counts=True)
        return str(values[np.argmax(counts)])
    if column.dtype.kind == "f" and np.isnan(column).all():
        raise InvalidArgument(f"Column {name} has no value in the reference window.", field=name)
    return round(float(np.nanmedian(column)), 5)


def _described(package: Package) -> dict[str, str]:
    profile = build_profile(
        package.columns,
        package.outputs,
        schema_hash=package.schema_hash,
        window=package.window,
        label_rate=package.label_rate,
    )
    return {
        **package.documents,
        EVALUATION: json.dumps(_rounded(package.evaluation), indent=1) + "\n",
        "profile.json": json.dumps(_as_float32(profile), separators=(",", ":")) + "\n",
        "card.md": package.card,
    }


def _as_float32(value: Any) -> Any:
    """The same with every float in its shortest text that is the same float32: half the size, and equal values stay equal."""
    if isinstance(value, Mapping):
        return {key: _as_float32(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_float32(each) for each in value]
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _rounded(value: Any) -> Any:
    """The same with every float at five digits, so that files of equal runs are equal."""
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value
