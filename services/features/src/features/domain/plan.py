"""References → plan."""

from collections.abc import Sequence

from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from features.domain.expression import columns_of
from features.domain.model import Column, Computation, Definitions, DType, OnDemand, Plan, View
from features.domain.rows import Run

MAX_REFERENCES = 2000
MAX_BLOCK_VIEWS = 255  # a block names a column's view in one byte


def make_plan(definitions: Definitions, refs: Sequence[str]) -> Plan:
    """How to answer `refs`. InvalidArgument or NotFound naming `refs[i]`."""
    if not refs:
        raise InvalidArgument("refs names no feature", reason="REFERENCES_EMPTY", field="refs")
    if len(refs) > MAX_REFERENCES:
        raise InvalidArgument(f"refs names more than {MAX_REFERENCES} features", reason="REFERENCES_MANY", field="refs")
    found = [_find(definitions, ref, f"refs[{i}]") for i, ref in enumerate(refs)]
    views: dict[str, View] = {}
    for view, column in found:
        if not isinstance(column, OnDemand) or _stored_names(view, column):
            views.setdefault(view.name, view)
    order = {name: place for place, name in enumerate(views)}
    stored = tuple(
        None if isinstance(column, OnDemand) else (order[view.name], view.stored.index(column))
        for view, column in found
    )
    computations = _computations(found)
    is_fixed = all(_dtype(column) is not DType.STRING for _, column in found)
    is_plain = is_fixed and not computations
    fetched = tuple(views.values())
    fits_block = is_fixed and len(fetched) <= MAX_BLOCK_VIEWS
    return Plan(
        refs=tuple(refs),
        dtypes=tuple(_dtype(column) for _, column in found),
        views=fetched,
        stored=stored,
        computations=computations,
        indices=tuple(0 if place is None else place[0] + 1 for place in stored),
        inputs=_inputs(computations),
        fits_block=fits_block,
        is_plain=is_plain,
        runs=_runs(fetched, stored) if is_plain and fits_block else (),
    )


def _runs(views: Sequence[View], stored: Sequence[tuple[int, int] | None]) -> tuple[tuple[int, Run], ...]:
    """Where the columns of a plain plan lie, neighbours as one."""
    runs: list[tuple[int, Run]] = []
    for index, column in (place for place in stored if place is not None):
        one = views[index].layout.run(column)
        if runs:
            before, last = runs[-1]
            if (before, last.width, last.start + last.width * last.count) == (index, one.width, one.start):
                runs[-1] = (index, Run(last.width, last.start, last.count + 1))
                continue
        runs.append((index, one))
    return tuple(runs)


def check_schema(definitions: Definitions, plan: Plan, schema_hash: str) -> None:
    """FailedPrecondition SCHEMA_MISMATCH unless an endpoint has that hash now and names all of the plan's references."""
    references = definitions.references.get(schema_hash)
    if references is None or not references.issuperset(plan.refs):
        raise FailedPrecondition(
            "the features asked for are not those of this schema hash now",
            reason="SCHEMA_MISMATCH",
            field="schema_hash",
            ids={"schema_hash": schema_hash},
        )


def _find(definitions: Definitions, ref: str, field: str) -> tuple[View, Column | OnDemand]:
    name, colon, feature = ref.partition(":")
    if not colon:
        raise InvalidArgument("a feature reference is written view:feature", reason="REFERENCE_INVALID", field=field)
    view = definitions.views.get(name)
    if view is None:
        raise NotFound(f"there is no feature view {name}", reason="VIEW_NOT_FOUND", field=field, ids={"view": name})
    for column in view.stored:
        if column.name == feature:
            return view, column
    for computed in view.on_demand:
        if computed.column.name == feature:
            return view, computed
    raise NotFound(
        f"feature view {name} has no feature {feature}", reason="FEATURE_NOT_FOUND", field=field, ids={"view": name}
    )


def _stored_names(view: View, computed: OnDemand) -> set[str]:
    return columns_of(computed.expression) & {column.name for column in view.stored}


def _dtype(column: Column | OnDemand) -> DType:
    return column.column.dtype if isinstance(column, OnDemand) else column.dtype


def _computations(found: Sequence[tuple[View, Column | OnDemand]]) -> tuple[Computation, ...]:
    by_view: dict[str, list[tuple[int, OnDemand]]] = {}
    for i, (view, column) in enumerate(found):
        if isinstance(column, OnDemand):
            by_view.setdefault(view.name, []).append((i, column))
    computations: list[Computation] = []
    for outputs in by_view.values():
        view = found[outputs[0][0]][0]
        names = set().union(*(_stored_names(view, computed) for _, computed in outputs))
        needs = tuple(place for place, column in enumerate(view.stored) if column.name in names)
        computations.append(Computation(view, needs, tuple(outputs)))
    return tuple(computations)


def _inputs(computations: Sequence[Computation]) -> tuple[Column, ...]:
    needed: dict[str, Column] = {}
    for computation in computations:
        names = set().union(*(columns_of(computed.expression) for _, computed in computation.outputs))
        for column in computation.view.inputs:
            known = needed.setdefault(column.name, column) if column.name in names else column
            if known.dtype is not column.dtype:
                raise InvalidArgument(
                    f"input {column.name} is {known.dtype} in one view and {column.dtype} in another",
                    reason="INPUT_AMBIGUOUS",
                    field=f"inputs.{column.name}",
                )
    return tuple(needed.values())
