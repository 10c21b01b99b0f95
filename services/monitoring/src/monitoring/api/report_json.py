"""A report as JSON. The shape is stable: README.md documents it, fields are only added."""

import math
from datetime import UTC, datetime
from typing import Any

from monitoring.domain import summary
from monitoring.domain.model import (
    Drift,
    Quality,
    ReferenceProfile,
    Report,
    Retrieval,
    Verdict,
    Volume,
    WindowReport,
)


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain dicts, lists, numbers and RFC 3339 text."""
    return {
        "endpoint": report.endpoint,
        "tenant": report.tenant,
        "generated_at": instant(report.generated_at_us),
        "from": instant(report.from_us),
        "to": instant(report.to_us),
        "window_s": report.window_us / 1e6,
        "verdict": summary.verdict(report.windows).value,
        "volume": _volume(report.volume),
        "latency_ms": {
            stage: {"p50": _number(each.p50), "p90": _number(each.p90), "p99": _number(each.p99), "count": each.count}
            for stage, each in report.latency.items()
        },
        "reference": _reference(report.reference),
        "drift": _columns(report),
        "quality": _quality(report.quality, report.label_output),
        "retrieval": _retrieval(report.retrieval),
        "windows": [_window(window, report.label_output) for window in report.windows],
        "notices": list(report.notices),
    }


def instant(instant_us: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(instant_us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def _window(window: WindowReport, output: str | None) -> dict[str, Any]:
    return {
        "from": instant(window.window.from_us),
        "to": instant(window.window.to_us),
        "verdict": window.verdict.value,
        "in_sample": window.verdict is Verdict.IN_SAMPLE,
        "drifted": summary.drifted(window),
        "volume": _volume(window.volume),
        "features": {name: _drift(drift) for name, drift in window.features.items()},
        "outputs": {name: _drift(drift) for name, drift in window.outputs.items()},
        "quality": _quality(window.quality, output),
        "retrieval": _retrieval(window.retrieval),
    }


def _drift(drift: Drift) -> dict[str, Any]:
    score = drift.score
    return {
        "verdict": drift.verdict.value,
        "psi": _number(score.psi),
        "ks": _number(score.ks),
        "psi_threshold": _number(drift.psi_threshold),
        "ks_threshold": _number(drift.ks_threshold),
        "rows": score.rows,
        "nulls": _number(score.nulls),
        "unseen": _number(score.unseen),
        "mean": _number(score.mean),
    }


def _columns(report: Report) -> dict[str, Any]:
    """Per column over all windows: how often it drifted, and its largest scores outside the training window."""
    columns: dict[str, list[Drift]] = {}
    for window in report.windows:
        for name, drift in window.features.items():
            columns.setdefault(name, []).append(drift)
        for name, drift in window.outputs.items():
            columns.setdefault(f"output:{name}", []).append(drift)
    return {name: _column(drifts) for name, drifts in columns.items()}


def _column(drifts: list[Drift]) -> dict[str, Any]:
    judged = [drift for drift in drifts if drift.verdict in (Verdict.DRIFT, Verdict.STABLE)]
    drifted = sum(drift.verdict is Verdict.DRIFT for drift in judged)
    verdict = (Verdict.DRIFT if drifted else Verdict.STABLE) if judged else drifts[-1].verdict
    return {
        "verdict": verdict.value,
        "windows_judged": len(judged),
        "windows_drifted": drifted,
        "max_psi": _number(max((drift.score.psi or 0.0 for drift in judged), default=None)),
        "max_ks": _number(max((drift.score.ks or 0.0 for drift in judged), default=None)),
    }


def _reference(profile: ReferenceProfile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "schema_hash": profile.schema_hash,
        "from": instant(profile.from_us),
        "to": instant(profile.to_us),
        "rows": profile.rows,
        "label_rate": _number(profile.label_rate),
    }


def _volume(volume: Volume) -> dict[str, Any]:
    return {
        "requests": volume.requests,
        "rows": volume.rows,
        "errors": dict(sorted(volume.errors.items())),
        "degraded": volume.degraded,
        "shadow": volume.shadow,
    }


def _quality(quality: Quality | None, output: str | None) -> dict[str, Any] | None:
    if quality is None:
        return None
    return {
        "output": output,
        "predictions": quality.predictions,
        "labelled": quality.labelled,
        "coverage": _number(quality.coverage),
        "roc_auc": _number(quality.roc_auc),
        "ece": _number(quality.ece),
        "brier": _number(quality.brier),
        "base_rate": _number(quality.base_rate),
        "mean_prediction": _number(quality.mean_prediction),
        "mae": _number(quality.mae),
        "rmse": _number(quality.rmse),
    }


def _retrieval(retrieval: Retrieval | None) -> dict[str, Any] | None:
    if retrieval is None:
        return None
    return {
        "searches": retrieval.searches,
        "asks": retrieval.asks,
        "empty": retrieval.empty,
        "unanswerable": retrieval.unanswerable,
        "unanswerable_share": _number(retrieval.unanswerable / retrieval.asks) if retrieval.asks else None,
        "mean_results": _number(retrieval.mean_results),
        "mean_top_score": _number(retrieval.mean_top_score),
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
