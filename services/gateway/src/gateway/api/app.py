"""The public REST port: the table of paths over the domain, and the app that serves it."""

from collections.abc import Callable, Iterable
from typing import Any

from chassis.public.browsers import Browsers
from chassis.public.http_bounds import PublicAsgi
from gateway.api.edge import Edge
from gateway.api.http.app import App
from gateway.api.http.docs import DocumentPaths, TableDocuments
from gateway.api.http.path import Path
from gateway.api.http.request import Limits
from gateway.api.http.routes import fastapi_of, routes_of
from gateway.api.mizzen.collections.rest import CollectionPaths
from gateway.api.mizzen.endpoints.rest import EndpointPaths
from gateway.api.mizzen.features.rest import FeaturePaths
from gateway.api.mizzen.labels.rest import LabelPaths
from gateway.api.mizzen.models.rest import ModelPaths
from gateway.api.oip.rest import InferPaths
from gateway.api.table import table
from gateway.domain.endpoints import Endpoints
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.predict import Predictor
from gateway.domain.read import Reader
from gateway.domain.retrieve import Retriever
from gateway.settings import Settings


def paths(
    endpoints: Endpoints, predictor: Predictor, reader: Reader, inferrer: Inferrer, retriever: Retriever, labels: Labels
) -> list[Path]:
    """The table of paths over this domain."""
    return table(
        EndpointPaths(endpoints, predictor),
        FeaturePaths(endpoints, reader),
        InferPaths(inferrer),
        ModelPaths(inferrer),
        CollectionPaths(retriever),
        LabelPaths(labels),
    )


def described(endpoints: Any = None) -> list[Path]:
    """The table for who only reads it, over no domain but `endpoints`, which examples come from."""
    nothing: Any = None
    return paths(endpoints, nothing, nothing, nothing, nothing, nothing)


def rest_port(
    found: Iterable[Path],
    edge: Edge,
    writes: IdempotentWrites,
    settings: Settings,
    observe: Callable[[str, str, int, float], None],
) -> PublicAsgi:
    """The port as `settings` ask for it; `observe(method, template, status, seconds)` counts each answer."""
    browsers = Browsers(
        keyless=settings.api_keys_file is None, key_setting="MIZZEN_GATEWAY_API_KEYS_FILE",
        origins=settings.cors(), origins_setting="MIZZEN_GATEWAY_CORS_ORIGINS",
    )  # fmt: skip
    shown = list(found)
    rows = [*shown, *DocumentPaths(lambda: TableDocuments(shown, api)).rows()]
    api = fastapi_of(rows, writes)
    app = App(rows, routes_of(api), edge, Limits(settings.max_body_bytes), browsers, observe=observe)
    return PublicAsgi(app, settings.rest_port, settings.http_bounds(), app.refuse, app.turn_away)
