"""python -m features.materialize: offline rows → online store, up to an instant."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from catalog import source_from, telling
from chassis.errors import MizzenError
from chassis.settings import from_environment
from features.adapters.catalog_views import compiled
from features.adapters.duckdb_offline import DuckDBOffline
from features.adapters.valkey_online import ValkeyOnlineStore
from features.domain.materialize import Materializer, Progress
from features.domain.model import View
from features.settings import MaterializeSettings
from training.offline import OfflineOptions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Report:
    """One line a view: redrawn on a terminal, logged when done elsewhere. And the view's condition, on a cluster."""

    def __init__(self, tell: Callable[[Progress], None] = lambda _: None) -> None:
        self._tell = tell
        self._is_terminal = sys.stderr.isatty()
        self._started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Shows how far a view is."""
        self._tell(progress)
        seconds = max(time.monotonic() - self._started, 1e-3)
        if progress.was_done:
            text = f"{progress.view}: {progress.rows:,} rows, done before"
        else:
            text = f"{progress.view}: {progress.rows:,} rows, {progress.written:,} stored, {progress.rows / seconds:,.0f} rows/s"
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if progress.is_done else ""))
        elif progress.is_done:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
        if progress.is_done:
            self._started = time.monotonic()


def instant_us(text: str) -> int:
    """Microseconds UTC of an RFC 3339 instant."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset: write e.g. 2013-11-01T00:00:00Z")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> str:
    """RFC 3339, to the second, of microseconds UTC."""
    return f"{_EPOCH + timedelta(seconds=us // 1_000_000):%Y-%m-%dT%H:%M:%SZ}"


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="python -m features.materialize", description=__doc__)
    parser.add_argument(
        "--definitions", help="directory of definitions, or kubernetes:NAMESPACE; default MIZZEN_DEFINITIONS"
    )
    parser.add_argument("--until", type=instant_us, help="last event timestamp taken, RFC 3339; default now")
    parser.add_argument("--since", type=instant_us, help="event timestamps after this one only, RFC 3339")
    parser.add_argument("--views", default="", help="comma-separated feature views; default all")
    parser.add_argument("--tenant", default="default", help="tenant whose rows are written")
    return parser


async def materialize(arguments: argparse.Namespace, settings: MaterializeSettings) -> None:
    """Does what the command says. MizzenError when it can't."""
    where = arguments.definitions or settings.definitions
    source = source_from(where)
    catalog = await source.load()
    definitions = compiled(catalog)
    await source.close()
    wanted = [name for name in arguments.views.replace("-", "_").split(",") if name]
    unknown = sorted(set(wanted) - set(definitions.views))
    if unknown:
        raise SystemExit(f"there is no feature view {unknown[0]}")
    views: list[View] = [
        view for name, view in definitions.views.items() if view.source is not None and (not wanted or name in wanted)
    ]
    until_us = time.time_ns() // 1000 if arguments.until is None else arguments.until
    login = settings.online()
    online = ValkeyOnlineStore(login.url, credentials=login.credentials)
    scratch = settings.state / "run" / "materialize"
    offline = DuckDBOffline(
        OfflineOptions(settings.offline_root, scratch, settings.offline_memory, settings.offline_threads)
    )
    await online.start()
    try:
        await online.ping(10.0)
        with telling(where, "FeatureView", "Materialized") as tell:

            def told(progress: Progress) -> None:
                text = f"{progress.rows:,} rows" + (f" until {instant(until_us)}" if progress.is_done else "")
                tell(catalog.feature_views[progress.view].metadata.name, text, done=progress.is_done)

            materializer = Materializer(offline, online, arguments.tenant, Report(told))
            for view in views:
                tell(catalog.feature_views[view.name].metadata.name, "reading its tables")
                await materializer.materialize(view, arguments.since, until_us)
    finally:
        await online.close()
        offline.close()


def main() -> int:
    """The exit status: 0 when everything is materialized."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments = make_parser().parse_args()
    try:
        asyncio.run(materialize(arguments, from_environment(MaterializeSettings)))
    except MizzenError as error:
        sys.stderr.write(f"materialize: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
