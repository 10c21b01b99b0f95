"""features:read: feature rows of entities, without a model."""

import re
from collections.abc import Mapping
from functools import lru_cache

from chassis.errors import InvalidArgument
from gateway.domain.limits import remaining_s
from gateway.domain.model import Call, Column, FeaturesAnswer
from gateway.domain.ports import Clock, Features
from gateway.domain.rows import Rows

REFERENCE = re.compile(r"[a-z_][a-z0-9_]*:[a-z_][a-z0-9_]*\Z")
MAX_REFERENCES = 1000
MAX_ROWS = 10_000
# Rows × references: an answer in JSON has some 50 bytes for each.
MAX_VALUES = 1_000_000


class Reader:
    """Passes reads on; the features service knows types, defaults and freshness."""

    def __init__(self, features: Features, clock: Clock) -> None:
        self._features = features
        self._clock = clock

    async def read(
        self,
        call: Call,
        references: tuple[str, ...],
        entities: Mapping[str, Column],
        inputs: Mapping[str, Column],
        rows: Rows,
    ) -> FeaturesAnswer:
        """As of the server's time; `rows`: of every column. Raises MizzenError."""
        _check_references(references)
        if rows.count * len(references) > MAX_VALUES:
            message = f"{rows.count} rows of {len(references)} features are more than {MAX_VALUES} values; ask in several reads"
            raise InvalidArgument(message, reason="TOO_MANY_ROWS", field="entities")
        remaining_s(self._clock, call.deadline_s)
        answer = await self._features.read(call, references, entities, inputs, as_of_us=call.received_at_us)
        return FeaturesAnswer(call.request_id, answer)


@lru_cache(maxsize=256)
def _check_references(references: tuple[str, ...]) -> None:
    if not 1 <= len(references) <= MAX_REFERENCES:
        message = f"features must name 1 to {MAX_REFERENCES} references view:feature"
        raise InvalidArgument(message, reason="INVALID_VALUE", field="features")
    for index, reference in enumerate(references):
        if REFERENCE.match(reference) is None:
            message = f"features[{index}] must be a feature reference view:feature"
            raise InvalidArgument(message, reason="INVALID_VALUE", field=f"features[{index}]")
