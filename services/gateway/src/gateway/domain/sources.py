"""What tensors are made of: features, entities and inputs by reference, decoded no further than asked."""

from collections.abc import Mapping, Sequence

from gateway.domain.columns import taken
from gateway.domain.inference import Tensor
from gateway.domain.model import BlockRows, Column, FeatureRows
from gateway.domain.plans import TensorPlan
from gateway.domain.tensors import assembled, block_row


class Sources:
    """The columns of one predict. A reference is `view:feature`, `entity:NAME` or `input:NAME`."""

    __slots__ = ("_columns", "_features", "_given", "_references", "rows")

    def __init__(
        self, references: Sequence[str], features: FeatureRows | None, given: Mapping[str, Column], rows: int
    ) -> None:
        """`references` are those of `features`; `given` are entities and inputs by reference."""
        self._references = references
        self._features = features
        self._given = given
        self._columns: dict[str, Column] | None = None
        self.rows = rows

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column by its reference."""
        if self._columns is None:
            features = [] if self._features is None else self._features.values()
            self._columns = dict(zip(self._references, features, strict=self._features is not None))
            self._columns.update(self._given)
        return self._columns

    def tensor(self, plan: TensorPlan) -> Tensor:
        """An input tensor; a single row goes from a block's bytes to the tensor's, without columns in between."""
        features = self._features
        if self.rows == 1 and isinstance(features, BlockRows):
            raw = block_row(plan, features, self._given)
            if raw is not None:
                return Tensor(plan.name, plan.datatype, (1, len(plan.sources)), raw)
        columns = self._given if all(source in self._given for source in plan.sources) else self.columns
        return assembled(plan, [columns[source] for source in plan.sources], self.rows)

    def taken(self, rows: Sequence[int]) -> "Sources":
        """The named rows, in that order."""
        columns = {reference: taken(column, rows) for reference, column in self.columns.items()}
        return Sources((), None, columns, len(rows))
