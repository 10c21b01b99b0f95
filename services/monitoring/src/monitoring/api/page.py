"""A report as one HTML page: no script, no outside resource, light and dark."""

from html import escape
from typing import Any

import numpy as np

from monitoring.api import plots
from monitoring.api.style import STYLE
from monitoring.domain.model import ColumnProfile, Drift, Report, Verdict, WindowReport

_WORDS = {
    "drift": "drift",
    "stable": "stable",
    "in_sample": "in sample",
    "not_enough_data": "not enough data",
    "no_reference": "no reference",
}


def page(report: Report, content: dict[str, Any]) -> str:
    """The page of `report`, whose JSON is `content`."""
    title = escape(f"{report.endpoint} · monitoring")
    sections = [_head(content), _tiles(content), _notices(report)]
    if report.windows:
        sections += [_volume(report), _quality(report), _heatmap(report), _columns(report, content)]
        sections += [_retrieval(report), _latency(content)]
    else:
        sections.append('<section class="card"><p class="quiet">No records yet.</p></section>')
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(content: dict[str, Any]) -> str:
    reference = content["reference"]
    against = (
        f"reference {reference['from'][:10]} – {reference['to'][:10]}, {reference['rows']:,} rows"
        if reference
        else "no reference profile"
    )
    return (
        f"<header><div><h1>{escape(content['endpoint'])}</h1>"
        f'<p class="quiet">{content["from"][:10]} – {content["to"][:10]} UTC · tenant {escape(content["tenant"])} · '
        f"{against} · made {content['generated_at'][:19].replace('T', ' ')}</p></div>"
        f"{_pill(content['verdict'])}</header>"
    )


def _pill(verdict: str) -> str:
    return f'<span class="pill {escape(verdict)}">{_WORDS.get(verdict, verdict)}</span>'


def _tiles(content: dict[str, Any]) -> str:
    volume, quality, retrieval = content["volume"], content["quality"], content["retrieval"]
    failed = sum(volume["errors"].values())
    tiles = [("requests", f"{volume['requests']:,}"), ("rows", f"{volume['rows']:,}")]
    tiles.append(("errors", f"{failed / volume['requests']:.2%}" if volume["requests"] else "–"))
    total = content["latency_ms"].get("total")
    if total:
        tiles.append(("latency p50 · p99", f"{total['p50']:.1f} · {total['p99']:.1f} ms"))
    if quality:
        tiles.append(("labelled", _share(quality["coverage"])))
        measures = (("ROC-AUC", "roc_auc"), ("ECE", "ece"), ("Brier", "brier"), ("MAE", "mae"), ("RMSE", "rmse"))
        tiles += [(name, f"{quality[key]:.3f}") for name, key in measures if quality[key] is not None]
    if retrieval:
        tiles.append(("unanswerable", _share(retrieval["unanswerable_share"])))
    cells = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in tiles)
    return f'<section class="tiles">{cells}</section>'


def _notices(report: Report) -> str:
    items = "".join(f"<li>{escape(notice)}</li>" for notice in report.notices)
    return f'<ul class="notices">{items}</ul>' if items else ""


def _labels(report: Report) -> list[str]:
    form = "%Y-%m-%d" if report.window_us >= 86_400_000_000 else "%Y-%m-%dT%H:%M"
    stamps = np.array([window.window.from_us for window in report.windows], dtype="datetime64[us]")
    return [stamp.item().strftime(form) for stamp in stamps]


def _shaded(report: Report) -> list[bool]:
    return [window.verdict is Verdict.IN_SAMPLE for window in report.windows]


def _volume(report: Report) -> str:
    rows = [float(window.volume.rows or window.volume.requests) for window in report.windows]
    plot = plots.bars(_labels(report), rows, _shaded(report), "rows per window")
    return _card("Volume", "Answered rows per window of event time; pale windows lie in the training window.", plot)


def _quality(report: Report) -> str:
    found = [window.quality for window in report.windows]
    if not any(found):
        return ""
    names = (("ROC-AUC", "roc_auc"), ("ECE", "ece"), ("base rate", "base_rate"), ("mean prediction", "mean_prediction"))
    series = {name: [getattr(each, key) if each else None for each in found] for name, key in names}
    cards = []
    groups = (("ROC-AUC",), ("ECE",), ("base rate", "mean prediction"))
    for group in groups:
        shown = [(name, series[name]) for name in group]
        if any(value is not None for _, values in shown for value in values):
            legend = "".join(f'<span class="key k{n}">{name}</span>' for n, name in enumerate(group))
            plot = plots.lines(_labels(report), shown, _shaded(report), " and ".join(group))
            cards.append(f"<p>{legend}</p>{plot}")
    text = f"Output {escape(report.label_output or '')}, from the labels that have come so far."
    return _card("Quality", text, "".join(cards)) if cards else ""


def _named(window: WindowReport) -> dict[str, Drift]:
    return window.features | {f"output:{name}": drift for name, drift in window.outputs.items()}


def _ratio(drift: Drift | None) -> tuple[float | None, str]:
    if drift is None:
        return None, "no rows"
    score = drift.score
    tip = f"PSI {_short(score.psi)} (from {drift.psi_threshold:.2f}) · KS {_short(score.ks)} (from {drift.ks_threshold:.2f})"
    tip += f" · {score.rows:,} rows · {_WORDS[drift.verdict.value]}"
    if drift.verdict not in (Verdict.DRIFT, Verdict.STABLE):
        return None, tip
    return max((score.psi or 0.0) / drift.psi_threshold, (score.ks or 0.0) / drift.ks_threshold), tip


def _heatmap(report: Report) -> str:
    names = list(dict.fromkeys(name for window in report.windows for name in _named(window)))
    if not names:
        return ""
    windows = [_named(window) for window in report.windows]
    rows = [(name, [_ratio(window.get(name)) for window in windows]) for name in names]
    rows.sort(key=lambda row: -max((ratio or 0.0 for ratio, _ in row[1]), default=0.0))
    text = "Each cell is a window; red cells are over their threshold, grey ones get no verdict."
    return _card("Drift", text, plots.heatmap(_labels(report), rows, "drift per column and window"))


def _columns(report: Report, content: dict[str, Any]) -> str:
    if report.reference is None or not content["drift"]:
        return ""
    profiles = report.reference.features | {f"output:{n}": each for n, each in report.reference.outputs.items()}
    lines = []
    order = sorted(content["drift"].items(), key=lambda item: -(item[1]["max_psi"] or 0.0))
    for name, column in order:
        newest = next((d for window in reversed(report.windows) if (d := _named(window).get(name))), None)
        lines.append(
            f"<tr><td>{escape(name)}</td><td>{_pill(column['verdict'])}</td>"
            f"<td>{column['windows_drifted']} / {column['windows_judged']}</td>"
            f"<td>{_short(column['max_psi'])}</td><td>{_short(column['max_ks'])}</td>"
            f"<td>{_share(newest.score.nulls if newest else None)}</td>"
            f"<td>{_pair(profiles.get(name), newest, name)}</td></tr>"
        )
    table = (
        "<table><thead><tr><th>column</th><th>verdict</th><th>windows</th><th>max PSI</th><th>max KS</th><th>nulls</th>"
        f"<th>newest window</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
    return _card("Columns", "Bars are the newest window, the outline is the reference.", table)


def _pair(profile: ColumnProfile | None, newest: Drift | None, name: str) -> str:
    if profile is None or newest is None or newest.score.shares is None:
        return ""
    actual = newest.score.shares.tolist()
    if profile.kind == "categorical":
        counts = sorted(profile.categories.values(), reverse=True)[: len(actual)]
        total = sum(profile.categories.values()) or 1.0
        expected = [count / total for count in counts]
    else:
        expected = (profile.counts / max(profile.counts.sum(), 1.0)).tolist()
    return plots.histograms(expected, actual, f"distribution of {name}") if actual else ""


def _retrieval(report: Report) -> str:
    found = [window.retrieval for window in report.windows]
    if not any(found):
        return ""
    share = [each.unanswerable / each.asks if each and each.asks else None for each in found]
    top = [each.mean_top_score if each else None for each in found]
    parts = []
    for name, values in (("unanswerable share", share), ("mean top score", top)):
        if any(value is not None for value in values):
            plot = plots.lines(_labels(report), [(name, values)], _shaded(report), name)
            parts.append(f'<p><span class="key k0">{name}</span></p>{plot}')
    return _card(
        "Retrieval", "Questions that the documents don't answer, and how well the best passage fits.", "".join(parts)
    )


def _latency(content: dict[str, Any]) -> str:
    lines = "".join(
        f"<tr><td>{escape(stage)}</td><td>{each['p50']:.2f}</td><td>{each['p90']:.2f}</td><td>{each['p99']:.2f}</td>"
        f"<td>{each['count']:,}</td></tr>"
        for stage, each in content["latency_ms"].items()
    )
    errors = "".join(
        f"<tr><td>{escape(code)}</td><td>{count:,}</td></tr>" for code, count in content["volume"]["errors"].items()
    )
    table = (
        "<table><thead><tr><th>stage</th><th>p50 ms</th><th>p90</th><th>p99</th><th>requests</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )
    if errors:
        table += f"<table><thead><tr><th>error</th><th>requests</th></tr></thead><tbody>{errors}</tbody></table>"
    return _card("Latency and errors", "Per stage, over the whole range.", table) if lines or errors else ""


def _card(title: str, text: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2><p class="quiet">{text}</p>{body}</section>'


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
