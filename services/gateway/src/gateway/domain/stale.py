"""What an endpoint does with feature rows that are stale or could not be read."""

from chassis.errors import FailedPrecondition
from gateway.domain.columns import filled, replaced
from gateway.domain.model import BlockRows, FeatureColumn, FeatureRows, Status
from gateway.domain.plans import EndpointPlan

STALE = int(Status.OUTSIDE_MAX_AGE)
DOWN = int(Status.UNAVAILABLE)


def judged(plan: EndpointPlan, rows: FeatureRows) -> FeatureRows:
    """Applies `onStale`: FailedPrecondition naming the feature and row, declared defaults, or as it is."""
    if plan.on_stale == "mark" or (isinstance(rows, BlockRows) and STALE not in rows.statuses):
        return rows
    columns = list(rows.columns)
    for index, feature in enumerate(columns):
        if STALE not in feature.statuses:
            continue
        if plan.on_stale == "fail":
            row = feature.statuses.index(STALE)
            message = f"{feature.ref} is older than its view's ttl in row {row}; the endpoint refuses stale features"
            raise FailedPrecondition(message, reason="FEATURE_STALE", field=f"features.{feature.ref}[{row}]")
        stale = [status == STALE for status in feature.statuses]
        column = replaced(feature.column, stale, plan.defaults.get(feature.ref))
        columns[index] = FeatureColumn(feature.ref, column, feature.statuses, feature.timestamps_index)
    return rows.replaced(columns)


def declared_defaults(plan: EndpointPlan, rows: int, as_of_us: int) -> FeatureRows:
    """Every feature at its declared default, marked UNAVAILABLE: what is answered when features cannot be asked."""
    statuses = bytes([DOWN]) * rows
    columns = [
        FeatureColumn(ref, filled(plan.defaults.get(ref), plan.dtypes[ref], rows), statuses, 0)
        for ref in plan.references
    ]
    return FeatureRows(columns, [], as_of_us)
