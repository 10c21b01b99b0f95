"""The model card as Markdown: the author's own words, and tables of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.metrics import TITLES


def card(title: str, introduction: str, sections: Mapping[str, str]) -> str:
    """A card of a title, what the model answers and is not for, and sections by heading, in order. All texts are Markdown."""
    parts = [f"# {title}", introduction.strip("\n")]
    parts += [f"## {heading}\n\n{text.strip(chr(10))}" for heading, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def models_table(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]], part: str, heading: str = "model, same features"
) -> str:
    """A row a model, a column a measure, of one part of `evaluate_parts`; four digits."""
    names = [name for name in TITLES if any(name in parts[part] for parts in models.values())]
    rows = [
        [model.replace("_", " "), *(_figure(parts[part].get(name), 4) for name in names)]
        for model, parts in models.items()
    ]
    return _table([heading, *(TITLES[name] for name in names)], rows)


def groups_table(
    groups: Mapping[str, Mapping[str, Any]],
    heading: str,
    rows: str = "rows",
    typical: str = "positives",
    measures: Sequence[str] = ("roc_auc", "ece"),
) -> str:
    """A row a group of `evaluate_groups`: its rows, what is typical of its truth (by that key) and measures; three digits."""
    body = [
        [group, f"{found['rows']:,}", *(_figure(found.get(name), 3) for name in (typical, *measures))]
        for group, found in groups.items()
    ]
    return _table([heading, rows, typical, *(TITLES[name] for name in measures)], body)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
