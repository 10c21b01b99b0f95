"""Reading features: references and entities → columns with statuses, as of one instant."""

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.errors import DataLoss, DeadlineExceeded, InvalidArgument, MizzenError, Unavailable
from features.domain.answer import Fetched, answer_down, answer_fetched, answer_row
from features.domain.given import check_column, tags_of
from features.domain.keys import row_keys
from features.domain.model import Answer, Definitions, Plan, Query
from features.domain.plan import check_schema, make_plan
from features.domain.ports import Clock, Metrics, OnlineStore

MAX_PLANS = 1024
# Asked of the store at once, so that it lets other readers in between.
KEYS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """`store_timeout_s`: longest wait for KEYS_AT_ONCE keys, seconds. `max_rows`: rows a read, `max_keys`: keys a message."""

    store_timeout_s: float = 0.2
    max_rows: int = 10_000
    max_keys: int = 200_000


@dataclass(slots=True)
class _Asked:
    query: Query
    plan: Plan
    at: int
    keys: int


class Reader:
    """Reads many callers' features in one question to the store."""

    def __init__(self, store: OnlineStore, clock: Clock, metrics: Metrics, limits: ReadLimits) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._definitions = Definitions()
        self._plans: dict[tuple[str, ...], Plan] = {}

    @property
    def definitions(self) -> Definitions:
        """What is served now."""
        return self._definitions

    def load(self, definitions: Definitions) -> None:
        """Serves these definitions from the next read on."""
        self._definitions = definitions
        self._plans = {}

    async def read(self, queries: Sequence[Query], timeout_s: float) -> list[Answer | Exception]:
        """One answer or failure a query, in order; one bad query leaves the others alone."""
        results: list[Answer | Exception | _Asked] = []
        keys: list[bytes] = []
        for query in queries:
            try:
                results.append(self._ask(query, keys))
            except Exception as error:  # one caller's trouble, even an unexpected one, is not the others'
                results.append(error)
        rows = await self._fetch(keys, timeout_s) if keys else []
        return [self._answered(result, rows) if isinstance(result, _Asked) else result for result in results]

    def plan(self, refs: tuple[str, ...]) -> Plan:
        """The plan of `refs` under the current definitions; InvalidArgument or NotFound naming the reference."""
        plan = self._plans.get(refs)
        if plan is None:
            plan = make_plan(self._definitions, refs)
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[refs] = plan
        return plan

    def _ask(self, query: Query, keys: list[bytes]) -> _Asked:
        plan = self.plan(query.refs)
        if query.schema_hash:
            check_schema(self._definitions, plan, query.schema_hash)
        if query.rows == 0:
            raise InvalidArgument("the read names no row", reason="ROWS_NONE", field="entities")
        if query.rows > self._limits.max_rows:
            raise InvalidArgument(
                f"a read has at most {self._limits.max_rows} rows", reason="ROWS_MANY", field="entities"
            )
        for column in plan.inputs:
            check_column(column, query.inputs.get(column.name), query.rows, f"inputs.{column.name}")
        at = len(keys)
        tags: dict[tuple[str, ...], list[str]] = {}
        for view in plan.views:
            names = tuple(key.name for key in view.keys)
            if names not in tags:
                tags[names] = tags_of(query.tenant, view, query.entities, query.rows)
            if len(keys) + query.rows > self._limits.max_keys:
                del keys[at:]
                raise InvalidArgument("the message asks for too many rows", reason="ROWS_MANY", field="entities")
            keys += row_keys(tags[names], view.name)
        return _Asked(query, plan, at, len(keys) - at)

    async def _fetch(self, keys: list[bytes], timeout_s: float) -> list[bytes | None] | MizzenError:
        start = self._clock.monotonic_s()
        rows: list[bytes | None] = []
        try:
            for at in range(0, len(keys), KEYS_AT_ONCE):
                left_s = start + timeout_s - self._clock.monotonic_s()
                if left_s <= 0:
                    raise DeadlineExceeded("the deadline passed while the online store was read")
                some = keys[at : at + KEYS_AT_ONCE]
                rows += await self._store.read(some, min(left_s, self._limits.store_timeout_s))
        except (Unavailable, DeadlineExceeded) as error:
            self._metrics.store_read(self._clock.monotonic_s() - start, len(keys), True)
            return error
        self._metrics.store_read(self._clock.monotonic_s() - start, len(keys), False)
        return rows

    def _answered(self, asked: _Asked, rows: list[bytes | None] | MizzenError) -> Answer | Exception:
        query, plan = asked.query, asked.plan
        try:
            if isinstance(rows, MizzenError) and asked.keys:
                return answer_down(plan, query) if query.default_when_down else rows
            if query.rows == 1 and query.as_block and plan.runs and isinstance(rows, list):
                answer = answer_row(plan, query, rows[asked.at : asked.at + asked.keys])
                if answer is not None:
                    for view in plan.views:
                        self._metrics.rows_read(view.name, 1)
                    return answer
            parts: list[Fetched] = []
            if isinstance(rows, list):
                at = asked.at
                for view in plan.views:
                    fetched = Fetched.of(view, rows[at : at + query.rows], query.as_of_us)
                    at += query.rows
                    self._count(view.name, fetched)
                    parts.append(fetched)
                if any(part.damaged for part in parts) and not query.default_when_down:
                    raise _damaged(parts)
            return answer_fetched(plan, query, parts)
        except Exception as error:
            return error

    def _count(self, view: str, fetched: Fetched) -> None:
        absent, stale = fetched.absent, fetched.stale
        self._metrics.rows_read(view, fetched.rows, absent, stale, fetched.mismatched, fetched.damaged)


def _damaged(parts: Sequence[Fetched]) -> DataLoss:
    """Names the first damaged row."""
    view, row = next((p.view.name, int(p.decoded.damaged.argmax())) for p in parts if p.decoded.damaged is not None)
    return DataLoss(
        f"the stored row of feature view {view} for row {row} of the read is damaged: write or materialize it again",
        reason="FEATURE_ROW_DAMAGED",
        field=f"entities[{row}]",
        ids={"view": view},
    )
