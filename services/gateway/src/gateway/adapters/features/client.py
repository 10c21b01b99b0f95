"""The features service. Reads that arrive together travel as one message."""

from collections.abc import Callable, Mapping, Sequence

from chassis.clock import Clock
from chassis.errors import Internal, MizzenError
from chassis.rpc.channel import Channel
from chassis.rpc.coalesce import Coalescer
from chassis.rpc.status import from_status
from gateway.adapters.columns import block_shape, read_values
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.features.wire import question, read_item, read_request
from gateway.domain.limits import Retry
from gateway.domain.model import BlockRows, BlockShape, Call, Column, FeatureColumn, FeatureRows, Status
from mizzen.features.v1 import features_pb2

_READ = "/mizzen.features.v1.FeaturesService/Read"
_Item = tuple[bytes, float]  # a serialized ReadItem, its deadline


class GrpcFeatures:
    """See ports.Features."""

    def __init__(
        self,
        channel: Channel,
        envelopes: Envelopes,
        retry: Retry,
        clock: Clock,
        *,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        """`observe` sees the number of reads in each message."""
        self._channel = channel
        self._envelopes = envelopes
        self._retry = retry
        self._clock = clock
        self._coalescer: Coalescer[_Item, features_pb2.ReadResult | MizzenError] = Coalescer(
            self._send, max_items=64, max_wait_s=0.001, clock=clock, observe=observe
        )
        # References of an endpoint are the same in every request.
        self._joined: dict[tuple[tuple[str, ...], bool], tuple[str, bytes]] = {}
        self._shapes: dict[tuple[str, bytes, bytes], BlockShape] = {}

    async def read(
        self,
        call: Call,
        references: Sequence[str],
        entities: Mapping[str, Column],
        inputs: Mapping[str, Column],
        *,
        as_of_us: int,
        default_when_down: bool = False,
    ) -> FeatureRows:
        joined, asked = self._question(tuple(references), default_when_down)
        item = read_item(self._envelopes.serialized(call), asked, as_of_us, entities, inputs)
        result = await self._coalescer.submit((item, call.deadline_s), call.deadline_s)
        rows = next(iter(entities.values()), None) or next(iter(inputs.values()))
        return self._rows(result, joined, references, rows.rows)  # type: ignore[arg-type]

    def _question(self, references: tuple[str, ...], default_when_down: bool) -> tuple[str, bytes]:
        found = self._joined.get((references, default_when_down))
        if found is None:
            if len(self._joined) >= 256:
                self._joined.clear()
            joined = ",".join(references)
            found = joined, question(joined, default_when_down=default_when_down)
            self._joined[references, default_when_down] = found
        return found

    def _rows(self, result: features_pb2.ReadResult, joined: str, references: Sequence[str], rows: int) -> FeatureRows:
        dtypes = result.dtypes
        if not dtypes:
            if len(result.columns) != len(references):
                raise Internal("features answered other columns than asked for", reason="UPSTREAM_MISMATCH")
            return WireRows(result, rows)
        key = (joined, dtypes, result.timestamps_indices)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= 256:
                self._shapes.clear()
            shape = self._shapes[key] = block_shape(references, dtypes, result.timestamps_indices)
        raw, statuses, nulls = result.block, result.statuses, result.nulls
        marks = (0, rows * len(dtypes))
        if len(raw) != rows * shape.row_bytes or len(statuses) not in marks or len(nulls) not in marks:
            raise Internal("features answered a block of another size", reason="UPSTREAM_MISMATCH")
        return BlockRows(shape, raw, rows, list(result.timestamps_us), result.as_of_us, statuses, nulls)

    async def _send(self, items: list[_Item]) -> list[features_pb2.ReadResult | MizzenError]:
        request = read_request([item for item, _ in items])
        deadline_s = max(deadline for _, deadline in items)
        response = await self._retry.run(
            lambda: self._channel.unary(
                _READ, request, features_pb2.ReadResponse, deadline_s - self._clock.monotonic_s()
            ),
            deadline_s,
        )
        return [
            result if result.status.code == 0 else from_status(result.status) or result for result in response.results
        ]


class WireRows(FeatureRows):
    """A read's answer, decoded no further than asked: an attribute of a message costs more than the value in it."""

    __slots__ = ("_rows", "result")

    def __init__(self, result: features_pb2.ReadResult, rows: int) -> None:
        super().__init__(None, list(result.timestamps_us), result.as_of_us)
        self.result = result
        self._rows = rows

    @property
    def columns(self) -> list[FeatureColumn]:
        if self._columns is None:
            self._columns = [
                FeatureColumn(c.ref, read_values(c.values, self._rows, c.ref), c.statuses, c.timestamps_index)
                for c in self.result.columns
            ]
        return self._columns

    @property
    def size(self) -> int:
        return self.result.ByteSize()

    def values(self) -> list[Column]:
        rows = self._rows
        return [read_values(column.values, rows, "") for column in self.result.columns]

    def has_status(self, status: Status, columns: Sequence[int]) -> bool:
        found = self.result.columns
        return any(status in found[index].statuses for index in columns)
