"""Rows of the store → columns with statuses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.domain.expression import Scope, cast_result, columns_of
from features.domain.model import NUMPY, Answer, Column, Computation, DType, OnDemand, Plan, Query, Status, View
from features.domain.rows import NEVER_US, Decoded

# (values, statuses, nulls) of one column, as in Answer.
Column3 = tuple[bytes | list[str], bytes, bytes]
_NOTHING: Column3 = (b"", b"", b"")


class Fetched:
    """One view's rows as of an instant; a row from after it is not there."""

    __slots__ = ("absent", "damaged", "decoded", "is_whole", "mismatched", "missing", "rows", "stale", "status", "view")

    def __init__(self, view: View, decoded: Decoded, rows: int) -> None:
        self.view = view
        self.decoded = decoded
        self.rows = rows
        self.mismatched = decoded.mismatched
        self.damaged = 0
        self.absent = 0
        self.stale = 0
        self.is_whole = False
        self.missing: Any = None
        self.status: Any = None

    @classmethod
    def of(cls, view: View, rows: Sequence[bytes | None], as_of_us: int) -> "Fetched":
        """Decodes and judges the rows."""
        decoded = view.layout.decode(rows)
        fetched = cls(view, decoded, len(rows))
        timestamps = decoded.timestamps_us
        oldest_us = NEVER_US + 1 if view.ttl_us is None else as_of_us - view.ttl_us
        if len(rows) == 1:
            whole = oldest_us <= int(timestamps[0]) <= as_of_us
        else:
            # what .min() and .max() end in, without their way there
            whole = bool(len(rows)) and bool(
                np.minimum.reduce(timestamps) >= oldest_us and np.maximum.reduce(timestamps) <= as_of_us
            )
        fetched.is_whole = whole and decoded.nulls is None
        if not fetched.is_whole:
            fetched._judge(as_of_us, oldest_us)
        return fetched

    def _judge(self, as_of_us: int, oldest_us: int) -> None:
        timestamps = self.decoded.timestamps_us
        self.missing = (timestamps > as_of_us) | (timestamps == NEVER_US)
        old = ~self.missing & (timestamps < oldest_us)
        self.absent, self.stale = int(self.missing.sum()), int(old.sum())
        self.status = np.full(self.rows, Status.PRESENT, np.uint8)
        self.status[old] = Status.OUTSIDE_MAX_AGE
        self.status[self.missing] = Status.NOT_FOUND
        if self.decoded.damaged is not None:
            self.damaged = int(self.decoded.damaged.sum())
            self.status[self.decoded.damaged] = Status.UNAVAILABLE

    def timestamps(self) -> bytes:
        """Event timestamps as sent: 0 where there is no row."""
        if self.missing is None or not self.absent:
            return self.decoded.timestamps_us.tobytes()
        return np.where(self.missing, 0, self.decoded.timestamps_us).tobytes()

    def column(self, place: int) -> Column3:
        """(values, statuses, nulls) of one stored column, defaults filled in."""
        column = self.view.stored[place]
        texts = self.decoded.texts.get(place)
        values = self.decoded.raws[place] if texts is None else texts
        if self.is_whole:
            return values, b"", b""
        missing, status = self.missing, self.status
        if self.decoded.nulls is not None:
            null = self.decoded.nulls[:, place] & ~missing
            status = np.where(null, np.uint8(Status.NULL_VALUE), status)
            missing = missing | null
        if missing.any():
            values, nulls = _filled(values, missing, column)
        else:
            nulls = b""
        return values, b"" if (status == Status.PRESENT).all() else status.tobytes(), nulls


def _filled(values: bytes | list[str], missing: Any, column: Column) -> tuple[bytes | list[str], bytes]:
    """The default, or nothing and a null, where a value is missing."""
    nulls = missing.astype(np.uint8).tobytes() if column.default is None else b""
    if isinstance(values, list):
        fill = "" if column.default is None else str(column.default)
        return [fill if gone else text for text, gone in zip(values, missing.tolist(), strict=True)], nulls
    array = np.frombuffer(values, NUMPY[column.dtype]).copy()
    array[missing] = 0 if column.default is None else column.default
    return array.tobytes(), nulls


def answer_row(plan: Plan, query: Query, rows: Sequence[bytes | None]) -> Answer | None:
    """The usual read with as little as it takes: one row a view, all there and fresh, as a block. None for any other."""
    timestamps: list[bytes] = []
    for view, row in zip(plan.views, rows, strict=True):
        instant_us = view.layout.whole(row)
        if instant_us is None or not NEVER_US < instant_us <= query.as_of_us:
            return None
        if view.ttl_us is not None and instant_us < query.as_of_us - view.ttl_us:
            return None
        timestamps.append(instant_us.to_bytes(8, "little", signed=True))
    parts: list[bytes] = []
    for index, run in plan.runs:
        row = rows[index]
        assert row is not None  # noqa: S101 - looked at above
        parts.append(row[run.start : run.start + run.width * run.count])
    return Answer(plan, 1, [], None, None, timestamps, query.as_of_us, b"".join(parts))


def answer_fetched(plan: Plan, query: Query, parts: Sequence[Fetched]) -> Answer:
    """All columns of a read whose rows were fetched."""
    timestamps = [part.timestamps() for part in parts]
    if plan.is_plain and all(part.is_whole for part in parts):
        if query.as_block and plan.runs:
            block = b"".join([parts[index].decoded.block(run) for index, run in plan.runs])
            return Answer(plan, query.rows, [], None, None, timestamps, query.as_of_us, block)
        raws = [part.decoded.raws for part in parts]
        values: list[bytes | list[str]] = [raws[place[0]][place[1]] for place in plan.stored if place]
        return Answer(plan, query.rows, values, None, None, timestamps, query.as_of_us)
    columns = [parts[stored[0]].column(stored[1]) if stored else _NOTHING for stored in plan.stored]
    by_view = {part.view.name: part for part in parts}
    for computation in plan.computations:
        part = by_view.get(computation.view.name)
        needed = [part.column(place) for place in computation.needs] if part else []
        _compute(computation, query, needed, columns)
        if part and part.damaged:
            _mark(computation, part.decoded.damaged, columns)
    return _assembled(plan, query, columns, timestamps)


def answer_down(plan: Plan, query: Query) -> Answer:
    """A read without the store: declared defaults, marked UNAVAILABLE; on-demand features are computed from them."""
    marks = bytes([Status.UNAVAILABLE]) * query.rows
    columns = [
        _default(plan.views[stored[0]].stored[stored[1]], query.rows, marks) if stored else _NOTHING
        for stored in plan.stored
    ]
    for computation in plan.computations:
        needed = [_default(computation.view.stored[place], query.rows, marks) for place in computation.needs]
        _compute(computation, query, needed, columns)
        _mark(computation, np.ones(query.rows, np.bool_), columns)
    return _assembled(plan, query, columns, [bytes(8 * query.rows)] * len(plan.views))


def _mark(computation: Computation, down: Any, columns: list[Column3]) -> None:
    """Marks what was computed from stored features UNAVAILABLE in the rows where these could not be read."""
    stored = {computation.view.stored[place].name for place in computation.needs}
    for i, computed in computation.outputs:
        if columns_of(computed.expression) & stored:
            values, statuses, nulls = columns[i]
            marks = np.full(len(down), Status.PRESENT, np.uint8)
            if statuses:
                marks = np.frombuffer(statuses, np.uint8).copy()
            marks[down] = Status.UNAVAILABLE
            columns[i] = (values, marks.tobytes(), nulls)


def _default(column: Column, rows: int, marks: bytes) -> Column3:
    is_text = column.dtype is DType.STRING
    empty = [""] * rows if is_text else bytes(rows * np.dtype(NUMPY[column.dtype]).itemsize)
    values, nulls = _filled(empty, np.ones(rows, np.bool_), column)
    return values, marks, nulls


def _assembled(plan: Plan, query: Query, columns: Sequence[Column3], timestamps: list[bytes]) -> Answer:
    values = [column[0] for column in columns]
    statuses = [column[1] for column in columns]
    nulls = [column[2] for column in columns]
    answer = Answer(plan, query.rows, values, statuses, nulls, timestamps, query.as_of_us)
    if query.as_block and plan.fits_block and (query.gaps_in_block or not (any(statuses) or any(nulls))):
        answer.block = b"".join(values)  # type: ignore[arg-type]  # a block has no texts
        answer.block_statuses = _beside(statuses, bytes([Status.PRESENT]) * query.rows)
        answer.block_nulls = _beside(nulls, bytes(query.rows))
        answer.values, answer.statuses, answer.nulls = [], None, None
    return answer


def _beside(columns: Sequence[bytes], usual: bytes) -> bytes:
    """Column after column, `usual` for an empty one; nothing when all are empty."""
    return b"".join([column or usual for column in columns]) if any(columns) else b""


def _compute(computation: Computation, query: Query, needed: Sequence[Column3], columns: list[Column3]) -> None:
    """Puts the on-demand columns of one view in their places."""
    view = computation.view
    scope: dict[str, tuple[Any, Any]] = {"as_of": (np.full(query.rows, query.as_of_us, np.int64), None)}
    for place, column in zip(computation.needs, needed, strict=True):
        scope[view.stored[place].name] = _numpy(view.stored[place], column)
    for declared in view.inputs:
        given = query.inputs.get(declared.name)
        if given is not None:
            scope[declared.name] = (given.values, given.nulls)
    for i, computed in computation.outputs:
        columns[i] = _computed(computed, Scope(scope, query.rows))


def _numpy(column: Column, given: Column3) -> tuple[Any, Any]:
    values, _, nulls = given
    mask = np.frombuffer(nulls, np.uint8).astype(np.bool_) if nulls else None
    if isinstance(values, list):
        array = np.empty(len(values), object)
        array[:] = values
        return array, mask
    return np.frombuffer(values, NUMPY[column.dtype]), mask


def _computed(computed: OnDemand, scope: Scope) -> Column3:
    column = computed.column
    values, nulls = cast_result(computed.expression.evaluate(scope), column.dtype)
    if nulls is None or not nulls.any():
        return (values.tolist() if column.dtype is DType.STRING else _raw(values, column.dtype)), b"", b""
    statuses = np.where(nulls, np.uint8(Status.NULL_VALUE), np.uint8(Status.PRESENT)).tobytes()
    mask = nulls.astype(np.uint8).tobytes()
    if column.dtype is DType.STRING:
        return (
            ["" if gone else text for text, gone in zip(values.tolist(), nulls.tolist(), strict=True)],
            statuses,
            mask,
        )
    return _raw(np.where(nulls, 0, values), column.dtype), statuses, mask


def _raw(values: Any, dtype: DType) -> bytes:
    return np.ascontiguousarray(values, NUMPY[dtype]).tobytes()
