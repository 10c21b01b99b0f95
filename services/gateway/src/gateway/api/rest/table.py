"""Every public REST path, once. docs/api-map.md is this table (a test compares them)."""

from functools import partial

from gateway.api.edge import ASK_S, DEFAULT_S, INFER, INFER_S, READ, WRITE, WRITE_S
from gateway.api.rest.collections import CollectionPaths
from gateway.api.rest.endpoints import EndpointPaths
from gateway.api.rest.features import FeaturePaths
from gateway.api.rest.infer import InferPaths
from gateway.api.rest.labels import LabelPaths
from gateway.api.rest.models import ModelPaths
from gateway.api.rest.routes import Path

SEARCH_S, REPORT_S = 10.0, 30.0
# Triton's client says nothing about a JSON body.
TENSORS = frozenset({b"application/json", b"application/octet-stream", b""})


def table(
    endpoints: EndpointPaths,
    features: FeaturePaths,
    infer: InferPaths,
    models: ModelPaths,
    collections: CollectionPaths,
    labels: LabelPaths,
) -> list[Path]:
    """One row a path: method, template, handler, gRPC method, scope, deadline, owner, media types of the body."""
    oip = "inference.GRPCInferenceService"
    ours = "mizzen.gateway.v1"
    collections_ = f"{ours}.CollectionService"
    collection = "/v1/collections/{name}"
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    predict = "/v1/endpoints/{name}:predict"
    infers = partial(
        Path, "POST", handler=infer.infer, grpc=f"{oip}/ModelInfer", scope=INFER, deadline_s=INFER_S, owner="oip",
        place="model/{model}", media=TENSORS,
    )  # fmt: skip
    return [
        Path("POST", predict, endpoints.predict, f"{ours}.EndpointService/Predict", INFER, endpoints.deadline_s,
             place="endpoint/{name}"),
        infers(f"{model}/infer"),
        infers(f"{version}/infer"),
        Path("POST", "/v1/features:read", features.read, f"{ours}.FeatureService/ReadFeatures", INFER, DEFAULT_S,
             place="features"),
        Path("POST", f"{collection}:search", collections.search, f"{collections_}/Search", INFER, SEARCH_S,
             place="collection/{name}"),
        Path("POST", f"{collection}:ask", collections.ask, f"{collections_}/Ask", INFER, ASK_S, place="answers/{name}"),
        Path("POST", f"{collection}/documents", collections.upsert, f"{collections_}/UpsertDocuments", WRITE, WRITE_S),
        Path("POST", "/v1/labels", labels.put, f"{ours}.LabelService/PutLabels", WRITE, WRITE_S),
        Path("GET", "/v1/endpoints", endpoints.list, f"{ours}.EndpointService/ListEndpoints", READ, DEFAULT_S),
        Path("GET", "/v1/endpoints/{name}", endpoints.get, f"{ours}.EndpointService/GetEndpoint", READ, DEFAULT_S),
        Path("GET", "/v1/endpoints/{name}/report", labels.report, f"{ours}.LabelService/GetReport", READ, REPORT_S),
        Path("GET", "/v1/collections", collections.list, f"{collections_}/ListCollections", READ, DEFAULT_S),
        Path("GET", f"{collection}/documents", collections.list_documents, f"{collections_}/ListDocuments", READ, DEFAULT_S),
        Path("GET", f"{collection}/documents/{{id}}", collections.get_document, f"{collections_}/GetDocument", READ, DEFAULT_S),
        Path(
            "DELETE", f"{collection}/documents/{{id}}", collections.delete_document, f"{collections_}/DeleteDocument",
            WRITE, WRITE_S,
        ),
        Path("GET", "/v1/models", models.list, "–", READ, DEFAULT_S),
        Path("GET", "/v1/models/{model}", models.get, "–", READ, DEFAULT_S),
        Path("GET", "/v2", infer.metadata, f"{oip}/ServerMetadata", READ, DEFAULT_S, "oip"),
        # Open to all, like every probe.
        Path("GET", "/v2/health/live", infer.live, f"{oip}/ServerLive", None, owner="oip"),
        Path("GET", "/v2/health/ready", infer.ready, f"{oip}/ServerReady", READ, DEFAULT_S, "oip"),
        Path("GET", "/v2/models", infer.models, "–", READ, DEFAULT_S, "kserve"),
        Path("GET", model, infer.model, f"{oip}/ModelMetadata", READ, DEFAULT_S, "oip"),
        Path("GET", version, infer.model, f"{oip}/ModelMetadata", READ, DEFAULT_S, "oip"),
        Path("GET", f"{model}/ready", infer.model_ready, f"{oip}/ModelReady", READ, DEFAULT_S, "oip"),
        Path("GET", f"{version}/ready", infer.model_ready, f"{oip}/ModelReady", READ, DEFAULT_S, "oip"),
    ]  # fmt: skip
