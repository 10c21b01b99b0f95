"""Who serves: InferenceServices of routes and embedders."""

from collections.abc import Iterator

from catalog.examine.subject import Findings, NotChecked, Subject
from catalog.fields import Location
from catalog.found import DefinitionError, Found
from catalog.kinds.collection import STORED_DIMENSIONS, Collection
from catalog.kinds.endpoint import Endpoint, Route
from catalog.suggestions import meant


def routes_of(endpoint: Endpoint) -> Iterator[tuple[Location, Route]]:
    """Each route with its place, that of the shadow included."""
    for place, route in enumerate(endpoint.spec.traffic.routes):
        yield ("spec", "traffic", "routes", place), route
    if endpoint.spec.traffic.shadow is not None:
        yield ("spec", "traffic", "shadow"), endpoint.spec.traffic.shadow


def check_routes(subject: Subject) -> Findings:
    """Routes and embedders that name an InferenceService that isn't there, and vectors of a length that isn't stored."""
    if not subject.outside.all_services:
        yield NotChecked(
            "whether the InferenceServices of routes and embedders are there isn't checked: not all are known here"
        )
    for found, endpoint in subject.of(Endpoint):
        for at, route in routes_of(endpoint):
            yield from _missing(subject, found, (*at, "inferenceService"), route.inference_service)
    for found, collection in subject.of(Collection):
        embedding = collection.spec.embedding
        where: Location = ("spec", "embedding")
        yield from _missing(subject, found, (*where, "inferenceService"), embedding.inference_service)
        if embedding.dimensions != STORED_DIMENSIONS:
            reason = f"{embedding.dimensions} is no length of a stored vector"
            fix = f"vectors have {STORED_DIMENSIONS} dimensions: take an embedder of that length"
            yield found.wrong((*where, "dimensions"), reason, fix)


def check_one_server(subject: Subject) -> Iterator[DefinitionError]:
    """Routes to two packages of one model name where one server serves all: it would answer both with the first."""
    if not subject.outside.one_server:
        return
    services = subject.catalog.inference_services
    routes = [
        (route.inference_service, found, at, route.model)
        for found, endpoint in subject.of(Endpoint)
        for at, route in routes_of(endpoint)
        if route.inference_service in services
    ]
    firsts: dict[str, str] = {}
    for name, found, at, model in sorted(routes, key=lambda each: each[0]):
        first = firsts.setdefault(model, name)
        if services[first].storage_uri != services[name].storage_uri:
            reason = f"model {model} of InferenceService {name} is another package than that of {first}"
            yield found.wrong((*at, "model"), reason, "one machine serves a model name once: rename one of the models")


def _missing(subject: Subject, found: Found, at: Location, name: str) -> Iterator[DefinitionError]:
    known = sorted(subject.catalog.inference_services)
    if subject.outside.all_services and name not in known:
        yield found.wrong(at, f"there is no InferenceService {name}", meant(name, known, "there are"), missing=True)
