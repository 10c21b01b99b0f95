"""What the life of a model needs, as a library: training set, evaluation, gate, profile, card, package, publish. No server.

A training script takes its calls from here. Each comes with the module that holds it when it is first asked for, so that
what needs `training.metrics` alone loads NumPy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.packaging import publish
    from training.cards import card, groups_table, models_table
    from training.endpoint_columns import columns_of, tensors_of
    from training.evaluation import evaluate, evaluate_groups, evaluate_parts
    from training.gating import Bound, Verdict, gate
    from training.packages import Package, evaluation_of, point_to, write_package
    from training.point_in_time import training_set
    from training.profile import build_profile

_MODULES = {
    "inference.packaging": ("publish",),
    "training.cards": ("card", "groups_table", "models_table"),
    "training.endpoint_columns": ("columns_of", "tensors_of"),
    "training.evaluation": ("evaluate", "evaluate_groups", "evaluate_parts"),
    "training.gating": ("Bound", "Verdict", "gate"),
    "training.packages": ("Package", "evaluation_of", "point_to", "write_package"),
    "training.point_in_time": ("training_set",),
    "training.profile": ("build_profile",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Bound",
    "Package",
    "Verdict",
    "build_profile",
    "card",
    "columns_of",
    "evaluate",
    "evaluate_groups",
    "evaluate_parts",
    "evaluation_of",
    "gate",
    "groups_table",
    "models_table",
    "point_to",
    "publish",
    "tensors_of",
    "training_set",
    "write_package",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
