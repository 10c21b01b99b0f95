"""What a Job says of a definition while it works: a condition beside `Accepted`, where there is a place for one."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from catalog.kinds.table import BY_NAME
from catalog.source.named import namespace_of
from catalog.source.resources import resource_of
from catalog.source.status import Json, with_condition
from chassis.errors import MizzenError
from chassis.kubernetes.api import KubernetesApi, Resource

_log = logging.getLogger(__name__)
_ATTEMPTS = 3
_LAST_WORDS_S = 60.0  # an API server may be slow, and what is not told now is never told
RUNNING, DONE, FAILED = "Running", "Done", "Failed"
_STATUSES = {RUNNING: "Unknown", DONE: "True", FAILED: "False"}


class Tell(Protocol):
    """Says how far the work on one definition is. Returns at once: what is told is written a little later."""

    def __call__(self, name: str, message: str, *, done: bool = False) -> None:
        """`name` is the definition's own; `message` is for people, e.g. `40,000 rows`."""


@contextmanager
def telling(
    definitions: Path | str,
    kind: str,
    condition: str,
    *,
    api: Callable[[], KubernetesApi] = KubernetesApi,
    every_s: float = 5.0,
) -> Iterator[Tell]:
    """A `Tell` for the work inside the block, which is written to the condition `condition` of definitions of `kind`.

    definitions: as MIZZEN_DEFINITIONS; in a directory there is no place for conditions, and nothing is written. every_s: seconds
    between two writes. What still runs when the block is left by an exception is told as failed. An API server that does not
    answer is logged and never fails the work.
    """
    namespace = namespace_of(definitions)
    if namespace is None:
        yield _nothing
        return
    writer = _Writer(resource_of(BY_NAME[kind]), namespace, condition, api, every_s)
    writer.start()
    try:
        yield writer.tell
    except BaseException as error:
        writer.break_off(error)
        raise
    finally:
        writer.stop()


def _nothing(name: str, message: str, *, done: bool = False) -> None:
    """Nobody reads it."""


@dataclass(frozen=True, slots=True)
class _Told:
    reason: str
    message: str


class _Writer:
    """A thread of its own, so that the work may block as it likes."""

    def __init__(
        self, resource: Resource, namespace: str, condition: str, api: Callable[[], KubernetesApi], every_s: float
    ) -> None:
        self._resource, self._namespace, self._condition = resource, namespace, condition
        self._make_api, self._every_s = api, every_s
        self._told: dict[str, _Told] = {}
        self._written: dict[str, _Told] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="conditions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left."""
        self._stopped.set()
        self._thread.join(_LAST_WORDS_S)

    def tell(self, name: str, message: str, *, done: bool = False) -> None:
        self._told[name] = _Told(DONE if done else RUNNING, message)

    def break_off(self, error: BaseException) -> None:
        words = error.message if isinstance(error, MizzenError) else type(error).__name__
        for name, told in list(self._told.items()):
            if told.reason == RUNNING:
                self._told[name] = _Told(FAILED, f"broken off at {told.message}: {words}")

    async def _run(self) -> None:
        api = self._make_api()
        try:
            while not await asyncio.to_thread(self._stopped.wait, self._every_s):
                await self._flush(api)
            await self._flush(api)
        finally:
            await api.close()

    async def _flush(self, api: KubernetesApi) -> None:
        for name, told in list(self._told.items()):
            if self._written.get(name) != told and await self._write(api, name, told):
                self._written[name] = told

    async def _write(self, api: KubernetesApi, name: str, told: _Told) -> bool:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                items, _ = await api.list(self._resource, self._namespace, {"fieldSelector": f"metadata.name={name}"})
                body = self._patch(items[0], told) if items else None
                if body is not None:
                    await api.patch_status(self._resource, self._namespace, name, body)
            except MizzenError as error:  # the service that writes `Accepted` may have been faster
                if attempt == _ATTEMPTS:
                    _log.warning("condition %s of %s %s: %s", self._condition, self._resource.plural, name, error)
            else:
                return True
        return False

    def _patch(self, item: Json, told: _Told) -> Json | None:
        wanted = {
            "type": self._condition,
            "status": _STATUSES[told.reason],
            "reason": told.reason,
            "message": told.message,
            "observedGeneration": item["metadata"].get("generation", 0),
        }
        conditions = with_condition(item, wanted, datetime.now(UTC))
        if conditions is None:
            return None
        version = item["metadata"]["resourceVersion"]
        return {"metadata": {"resourceVersion": version}, "status": {"conditions": conditions}}
