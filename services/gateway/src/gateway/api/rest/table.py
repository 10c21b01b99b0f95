"""Every public REST path, once. docs/api-map.md is this table (a test compares them)."""

from gateway.api.rest.collections import CollectionPaths
from gateway.api.rest.endpoints import EndpointPaths
from gateway.api.rest.features import FeaturePaths
from gateway.api.rest.infer import InferPaths
from gateway.api.rest.labels import LabelPaths
from gateway.api.rest.models import ModelPaths
from gateway.api.rest.routes import Path


def table(
    endpoints: EndpointPaths,
    features: FeaturePaths,
    infer: InferPaths,
    models: ModelPaths,
    collections: CollectionPaths,
    labels: LabelPaths,
) -> list[Path]:
    """The busiest paths first: they are matched in this order."""
    oip = "inference.GRPCInferenceService"
    ours = "mizzen.gateway.v1"
    documents = "/v1/collections/{name}/documents"
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    return [
        Path("POST", "/v1/endpoints/{name}:predict", endpoints.predict, f"{ours}.EndpointService/Predict"),
        Path("POST", f"{model}/infer", infer.infer, f"{oip}/ModelInfer", "oip"),
        Path("POST", f"{version}/infer", infer.infer, f"{oip}/ModelInfer", "oip"),
        Path("POST", "/v1/features:read", features.read, f"{ours}.FeatureService/ReadFeatures"),
        Path("POST", "/v1/collections/{name}:search", collections.search, f"{ours}.CollectionService/Search"),
        Path("POST", "/v1/collections/{name}:ask", collections.ask, f"{ours}.CollectionService/Ask"),
        Path("POST", documents, collections.upsert, f"{ours}.CollectionService/UpsertDocuments"),
        Path("POST", "/v1/labels", labels.put, f"{ours}.LabelService/PutLabels"),
        Path("GET", "/v1/endpoints", endpoints.list, f"{ours}.EndpointService/ListEndpoints"),
        Path("GET", "/v1/endpoints/{name}", endpoints.get, f"{ours}.EndpointService/GetEndpoint"),
        Path("GET", "/v1/endpoints/{name}/report", labels.report, f"{ours}.LabelService/GetReport"),
        Path("GET", "/v1/collections", collections.list, f"{ours}.CollectionService/ListCollections"),
        Path("GET", documents, collections.list_documents, f"{ours}.CollectionService/ListDocuments"),
        Path("GET", documents + "/{id}", collections.get_document, f"{ours}.CollectionService/GetDocument"),
        Path("DELETE", documents + "/{id}", collections.delete_document, f"{ours}.CollectionService/DeleteDocument"),
        Path("GET", "/v1/models", models.list, "–", "mizzen"),
        Path("GET", "/v1/models/{model}", models.get, "–", "mizzen"),
        Path("GET", "/v2", infer.metadata, f"{oip}/ServerMetadata", "oip"),
        Path("GET", "/v2/health/live", infer.live, f"{oip}/ServerLive", "oip"),
        Path("GET", "/v2/health/ready", infer.ready, f"{oip}/ServerReady", "oip"),
        Path("GET", "/v2/models", infer.models, "–", "kserve"),
        Path("GET", model, infer.model, f"{oip}/ModelMetadata", "oip"),
        Path("GET", version, infer.model, f"{oip}/ModelMetadata", "oip"),
        Path("GET", f"{model}/ready", infer.model_ready, f"{oip}/ModelReady", "oip"),
        Path("GET", f"{version}/ready", infer.model_ready, f"{oip}/ModelReady", "oip"),
    ]
