"""The REST app, from the domain's verbs."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api.edge import Edge
from gateway.api.rest.browsers import Browsers
from gateway.api.rest.collections import CollectionPaths
from gateway.api.rest.endpoints import EndpointPaths
from gateway.api.rest.features import FeaturePaths
from gateway.api.rest.http import Limits
from gateway.api.rest.infer import InferPaths
from gateway.api.rest.labels import LabelPaths
from gateway.api.rest.models import ModelPaths
from gateway.api.rest.routes import App, Documents, Path
from gateway.api.rest.table import table
from gateway.domain.verbs import Verbs


def paths(verbs: Verbs) -> list[Path]:
    """The table of paths over these verbs."""
    return table(
        EndpointPaths(verbs.endpoints, verbs.predictor, verbs.inference, verbs.clock),
        FeaturePaths(verbs.endpoints, verbs.reader),
        InferPaths(verbs.inferrer),
        ModelPaths(verbs.inferrer),
        CollectionPaths(verbs.retriever),
        LabelPaths(verbs.labels),
    )


def _documents(found: list[Path], examples: Callable[[], Mapping[str, Any]]) -> Documents:
    from gateway.api.rest.docs import TableDocuments  # noqa: PLC0415 - FastAPI is for the documents only

    return TableDocuments(found, examples)


def rest_app(
    verbs: Verbs,
    edge: Edge,
    limits: Limits,
    browsers: Browsers,
    observe: Callable[[str, str, int, float], None],
) -> App:
    """The ASGI app of the public REST port."""
    found = paths(verbs)
    return App(
        found, edge, limits, browsers, verbs.writes,
        observe=observe, documents=lambda: _documents(found, verbs.endpoints.examples),
    )  # fmt: skip
