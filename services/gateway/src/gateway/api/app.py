"""The REST app, from the domain's verbs."""

from collections.abc import Callable

from gateway.api.edge import Edge
from gateway.api.http.app import App, Documents
from gateway.api.http.browsers import Browsers
from gateway.api.http.path import Path
from gateway.api.http.request import Limits
from gateway.api.mizzen.collections.rest import CollectionPaths
from gateway.api.mizzen.endpoints.rest import EndpointPaths
from gateway.api.mizzen.features.rest import FeaturePaths
from gateway.api.mizzen.labels.rest import LabelPaths
from gateway.api.mizzen.models.rest import ModelPaths
from gateway.api.oip.rest import InferPaths
from gateway.api.table import table
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


def _documents(found: list[Path]) -> Documents:
    from gateway.api.http.docs import TableDocuments  # noqa: PLC0415 - FastAPI is for the documents only

    return TableDocuments(found)


def rest_app(
    found: list[Path],
    verbs: Verbs,
    edge: Edge,
    limits: Limits,
    browsers: Browsers,
    observe: Callable[[str, str, int, float], None],
) -> App:
    """The ASGI app of the public REST port."""
    return App(
        found, edge, limits, browsers, verbs.writes,
        observe=observe, documents=lambda: _documents(found),
    )  # fmt: skip
