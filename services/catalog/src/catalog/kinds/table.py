"""Every kind that is read, once: its model, its names in the Kubernetes API, where it stands in a Catalog, who owns it.

A new kind is a model beside this file, a row here and a field of Catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.fields import GROUP_VERSION
from catalog.kinds.collection import Collection
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import FeatureView, reference_name
from catalog.kinds.inference_service import InferenceService

AnyDefinition = FeatureView | Endpoint | Collection | InferenceService


@dataclass(frozen=True, slots=True)
class Kind:
    """model, api_version, plural: as the Kubernetes API names it; field: of Catalog, which has its definitions by key.

    owner: the room that says whether a definition is accepted; empty for KServe's own kind, which is only read.
    short, columns: of `kubectl get`: names, and (heading, JSON path) beside Accepted and Age.
    """

    model: type[FeatureView] | type[Endpoint] | type[Collection] | type[InferenceService]
    api_version: str
    plural: str
    field: str
    owner: str = ""
    short: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """`FeatureView`."""
        return self.model.__name__

    def key(self, name: str) -> str:
        """What a definition of this object name is called in a Catalog."""
        return reference_name(name) if self.model is FeatureView else name


def _message(condition: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].message'


KINDS = (
    Kind(
        FeatureView, GROUP_VERSION, "featureviews", "feature_views", "features", ("fv",),
        (("Entities", ".spec.entities[*].name"), ("TTL", ".spec.ttl"), ("Materialized", _message("Materialized"))),
    ),
    Kind(
        Endpoint, GROUP_VERSION, "endpoints", "endpoints", "gateway", ("mzep",),
        (
            ("Routes", ".spec.traffic.routes[*].inferenceService"),
            ("Weights", ".spec.traffic.routes[*].weight"),
            ("Trained", _message("Trained")),
        ),
    ),
    Kind(
        Collection, GROUP_VERSION, "collections", "collections", "retrieval", ("coll",),
        (("Embedder", ".spec.embedding.inferenceService"), ("Ingested", _message("Ingested"))),
    ),
    Kind(InferenceService, "serving.kserve.io/v1beta1", "inferenceservices", "inference_services"),
)  # fmt: skip
BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
OURS = tuple(kind for kind in KINDS if kind.owner)
"""Kinds that we define ourselves, with CRDs and conditions."""


def owned_by(room: str) -> list[str]:
    """Names of the kinds whose condition `Accepted` a room writes."""
    return [kind.name for kind in OURS if kind.owner == room]
