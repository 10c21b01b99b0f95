"""Replays the year through the public API: flights are asked about hour by hour, with what was known then, and labelled when known.

    python drift.py                              the whole year, taken up where it stopped
    python drift.py --from 2013-10-01 --days 30  a part of it
    python drift.py --inject 2013-12-16          distances come in kilometres from that day on: drift to be found

It asks a running Mizzen (`make up`). The online store holds what was known at one instant, so the replay takes it over and gives
it back when it ends. Which months were trained on, monitoring knows from the package's profile: they get no verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from data import prepare
from replay import OnlineFeatures, Truth, batches, instant_us, rfc3339
from training_set import ENDPOINT, HERE, definitions

from chassis.settings import StoreLogin, from_environment
from cli.keys import Installation
from cli.machine.layout import Layout
from cli.machine.plan import service_environment
from cli.settings import Settings
from training.plots import Axis, Line, axis, plot

LABELS_AT_ONCE = 5000
TRIES = 8
SETTLING_S, SETTLING_TRIES = 3.0, 20


@dataclass(frozen=True, slots=True)
class Options:
    """What to replay, instants in microseconds UTC."""

    from_us: int
    to_us: int
    inject_us: int | None
    plots: Path


class Notes:
    """Where the replay is, kept in a file so that it can be taken up."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        self._run = f"{options.from_us}-{options.to_us}-{options.inject_us}"
        self.done_us, self.truth, self.asked = options.from_us, Truth(), 0
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        if found.get("run") == self._run:
            self.done_us, self.asked = found["done_us"], found["asked"]
            self.truth = Truth([tuple(each) for each in found["waiting"]])

    def write(self) -> None:
        """Keeps the notes, whole or not at all."""
        content = {"run": self._run, "done_us": self.done_us, "asked": self.asked, "waiting": self.truth.waiting}
        partial = self._path.with_suffix(".new")
        partial.write_text(json.dumps(content))
        partial.replace(self._path)

    def remove(self) -> None:
        """The run is complete: the next one starts anew."""
        self._path.unlink(missing_ok=True)


async def replay(options: Options, settings: Settings) -> dict[str, Any]:
    """Runs to the end, or until interrupted; returns monitoring's report of the replayed time."""
    root = settings.state / "volumes" / "offline"
    prepare(root)
    layout = Layout(settings.state.absolute())
    told = service_environment(settings, layout)
    password = told.get("MIZZEN_ONLINE_PASSWORD_FILE")
    login = StoreLogin.of(told["MIZZEN_ONLINE_URL"], Path(password) if password else None)
    online = OnlineFeatures(HERE, root, login)
    notes = Notes(settings.state / "run" / "drift.json", options)
    base = settings.gateway()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await online.start()
    try:
        key = Installation(settings, layout).shown_key()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=60.0, trust_env=False) as client:
            await _hours(client, online, notes, options, root, stop)
            return await _report(client, options)
    finally:
        print("giving the online store back")
        await online.restore(_example_instant())
        await online.close()


async def _hours(
    client: httpx2.AsyncClient, online: OnlineFeatures, notes: Notes, options: Options, root: Path, stop: asyncio.Event
) -> None:
    started, first_us, shown = time.monotonic(), notes.done_us, 0.0
    for batch in batches(root, notes.done_us, options.to_us, options.inject_us):
        await online.move_to(batch.as_of_us)
        answer = await _call(client, "POST", f"/v1/endpoints/{ENDPOINT}:predict", batch.body)
        notes.truth.expect(batch, answer["request_id"])
        await _send(client, notes.truth.known(batch.as_of_us))
        notes.asked += len(batch.rows)
        notes.done_us = instant_us(batch.rows[-1]["sched_dep"]) // 3_600_000_000 * 3_600_000_000 + 3_600_000_000
        # After every hour: whatever ends the replay, at most the hour under way is asked twice.
        notes.write()
        if stop.is_set():
            raise SystemExit(f"\nstopped at {rfc3339(notes.done_us)}; the same command goes on from there")
        if time.monotonic() - shown > (0.2 if sys.stderr.isatty() else 15):
            shown = time.monotonic()
            _show(notes, options, (notes.done_us - first_us) / max(options.to_us - first_us, 1), shown - started)
    await _send(client, notes.truth.known(2**62))
    notes.remove()
    print(f"\n{notes.asked:,} flights asked in {time.monotonic() - started:.0f} s", file=sys.stderr)


async def _send(client: httpx2.AsyncClient, labels: list[dict[str, Any]]) -> None:
    for start in range(0, len(labels), LABELS_AT_ONCE):
        answer = await _call(client, "POST", "/v1/labels", {"labels": labels[start : start + LABELS_AT_ONCE]})
        if answer["errors"]:
            raise RuntimeError(f"labels were refused: {answer['errors'][0]}")


async def _report(client: httpx2.AsyncClient, options: Options) -> dict[str, Any]:
    """The report, once the last records and labels have reached monitoring: when two in a row count the same."""
    path = f"/v1/endpoints/{ENDPOINT}/report?from={rfc3339(options.from_us)}&to={rfc3339(options.to_us)}"
    report = await _call(client, "GET", path)
    for _ in range(SETTLING_TRIES):
        await asyncio.sleep(SETTLING_S)
        before, report = report, await _call(client, "GET", path)
        if before["volume"] == report["volume"] and before["quality"] == report["quality"]:
            break
    return report


async def _call(
    client: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One call; what may pass (a restart, a full queue) is tried again for a while."""
    for attempt in range(TRIES):
        try:
            answer = await client.request(method, path, json=body)
            if answer.is_success:
                return dict(answer.json())
            told = answer.text[:300]
            if answer.status_code not in (429, 503, 504):
                break
        except httpx2.TransportError as error:
            told = f"{type(error).__name__}: {error}"
        await asyncio.sleep(min(0.25 * 2**attempt, 5.0))
    raise RuntimeError(f"{method} {path}: {told}")


def _show(notes: Notes, options: Options, share: float, seconds: float) -> None:
    bar = "█" * round(share * 30)
    left = seconds / share * (1 - share) if share > 0 else 0
    injected = "  kilometres!" if options.inject_us is not None and notes.done_us >= options.inject_us else ""
    line = f"{rfc3339(notes.done_us)[:10]} {bar:<30} {share:4.0%}  {notes.asked:,} flights, {left:.0f} s left{injected}"
    print(
        f"\r\x1b[K{line}" if sys.stderr.isatty() else line,
        end="" if sys.stderr.isatty() else "\n",
        file=sys.stderr,
        flush=True,
    )


def _example_instant() -> int:
    example = definitions().endpoints[ENDPOINT].spec.example
    return instant_us(datetime.fromisoformat(example.options["as_of"])) if example else instant_us(datetime.now(UTC))


def draw(report: dict[str, Any]) -> dict[str, str]:
    """Plots of the report: quality and drift, a point a window; windows without enough rows or labels are left out."""
    windows = [window for window in report["windows"] if window["volume"]["rows"]]
    starts = [instant_us(datetime.fromisoformat(window["from"])) for window in windows]
    marks = sorted({*starts[:: max(1, len(starts) // 8)], starts[-1]})
    across = Axis("window of event time, by its start", [(mark, rfc3339(mark)[5:10]) for mark in marks])
    auc = [
        (start, window["quality"]["roc_auc"])
        for start, window in zip(starts, windows, strict=True)
        if (window["quality"] or {}).get("roc_auc")
    ]
    watched = definitions().endpoints[ENDPOINT].spec.monitoring.watch[:4]
    lines = [
        Line(
            ref,
            [
                (start, window["features"][ref]["psi"] or 0.0)
                for start, window in zip(starts, windows, strict=True)
                if ref in window["features"]
            ],
        )
        for ref in watched
    ]
    return {
        "quality": plot(
            "ROC-AUC of late labels",
            across,
            axis("ROC-AUC", 0.5, 0.9, 4, digits=2),
            [Line("flight-delay", auc, is_marked=True)],
        ),
        "drift": plot("PSI against the training window", across, axis("PSI", 0, 2, 4), lines),
    }


def told(report: dict[str, Any]) -> list[str]:
    """The report in a few lines: what decides by name, what moves by nature counted."""
    watched = definitions().endpoints[ENDPOINT].spec.monitoring.watch
    lines = [f"verdict: {report['verdict']}"]
    for window in report["windows"]:
        quality = window["quality"] or {}
        auc = f"{quality['roc_auc']:.3f}" if quality.get("roc_auc") else "  –  "
        drifted = [ref for ref in window["drifted"] if ref in watched]
        others = len(window["drifted"]) - len(drifted)
        moved = f"  drifted: {', '.join(drifted) or 'nothing watched'}, {others} others" if window["drifted"] else ""
        lines.append(
            f"  {window['from'][:10]}  {window['volume']['rows']:>6,} rows  ROC-AUC {auc}  {window['verdict']}{moved}"
        )
    return lines


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description="Replay the year through the public API.", epilog="See the file's head for examples."
    )
    parser.add_argument("--from", dest="from_day", default="2013-01-01", help="first day, UTC")
    parser.add_argument("--to", dest="to_day", default="2014-01-02", help="day after the last one, UTC")
    parser.add_argument("--days", type=int, help="length instead of --to")
    parser.add_argument("--inject", help="day from which distances come in kilometres")
    parser.add_argument("--plots", type=Path, default=Path("docs/plots"), help="directory of the plots")
    given = parser.parse_args()
    first, last = _day(given.from_day), _day(given.to_day)
    last = first + timedelta(days=given.days) if given.days else last
    return Options(
        instant_us(first), instant_us(last), instant_us(_day(given.inject)) if given.inject else None, given.plots
    )


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def main() -> None:
    """Command line."""
    options = _options()
    report = asyncio.run(replay(options, from_environment(Settings)))
    options.plots.mkdir(parents=True, exist_ok=True)
    kind = "injected" if options.inject_us is not None else "control"
    for name, text in draw(report).items():
        (options.plots / f"flights-{kind}-{name}.svg").write_text(text)
    print("\n".join(told(report)))


if __name__ == "__main__":
    main()
