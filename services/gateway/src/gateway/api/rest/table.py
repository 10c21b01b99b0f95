"""Every public REST path, once: OpenAPI, docs/api-map.md, dispatch, authorisation and the form of errors are made from it."""

from functools import partial

from gateway.api.edge import ASK_S, DEFAULT_S, INFER, INFER_S, READ, WRITE, WRITE_S
from gateway.api.rest import schema, schema_collections
from gateway.api.rest.collections import CollectionPaths
from gateway.api.rest.dialects import KSERVE, OIP
from gateway.api.rest.endpoints import EndpointPaths
from gateway.api.rest.features import FeaturePaths
from gateway.api.rest.infer import InferPaths
from gateway.api.rest.labels import LabelPaths
from gateway.api.rest.models import ModelPaths
from gateway.api.rest.routes import Path

SEARCH_S, REPORT_S = 10.0, 30.0
# Triton's client says nothing about a JSON body.
TENSORS = frozenset({b"application/json", b"application/octet-stream", b""})
PAGE = {
    "page_size": "Most items of a page, 1 to 1000; 100 without it.",
    "page_token": "The `next_page_token` of the page before.",
}
RANGE = {
    "format": "json or html; without it as the Accept header says.",
    "from": "Begin of the event times, RFC 3339; without it the first.",
    "to": "End of the event times, RFC 3339, itself outside; without it the last.",
}
NOTHING: dict[str, str] = {}


def table(
    endpoints: EndpointPaths,
    features: FeaturePaths,
    infer: InferPaths,
    models: ModelPaths,
    collections: CollectionPaths,
    labels: LabelPaths,
) -> list[Path]:
    """One row a path; see Path."""
    oip = "inference.GRPCInferenceService"
    of_endpoints, of_features, of_collections, of_labels = (
        f"mizzen.gateway.v1.{name}Service" for name in ("Endpoint", "Feature", "Collection", "Label")
    )
    collection = "/v1/collections/{name}"
    document = f"{collection}/documents/{{id}}"
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    get = partial(Path, "GET", scope=READ, deadline_s=DEFAULT_S)
    ours = partial(get, query=NOTHING)
    infers = partial(
        Path, "POST", handler=infer.infer, grpc=f"{oip}/ModelInfer", scope=INFER, deadline_s=INFER_S, is_hot=True, dialect=OIP,
        body=schema.InferRequest, answer=schema.InferResponse, place="model/{model}", media=TENSORS,
    )  # fmt: skip
    writes = partial(Path, scope=WRITE, deadline_s=WRITE_S, idempotent=True)
    return [
        Path("POST", "/v1/endpoints/{name}:predict", endpoints.predict, f"{of_endpoints}/Predict", INFER, endpoints.deadline_s,
             schema.PredictResponse, schema.PredictRequest, is_hot=True, place="endpoint/{name}"),
        infers(f"{model}/infer"),
        infers(f"{version}/infer"),
        Path("POST", "/v1/features:read", features.read, f"{of_features}/ReadFeatures", INFER, DEFAULT_S,
             schema.ReadFeaturesResponse, schema.ReadFeaturesRequest, is_hot=True, place="features"),
        Path("POST", f"{collection}:search", collections.search, f"{of_collections}/Search", INFER, SEARCH_S,
             schema_collections.SearchResponse, schema_collections.SearchRequest, place="collection/{name}"),
        Path("POST", f"{collection}:ask", collections.ask, f"{of_collections}/Ask", INFER, ASK_S,
             schema_collections.AskResponse, schema_collections.AskRequest, place="answers/{name}"),
        writes("POST", f"{collection}/documents", collections.upsert, f"{of_collections}/UpsertDocuments",
               answer=schema_collections.UpsertResponse, body=schema_collections.UpsertRequest),
        writes("POST", "/v1/labels", labels.put, f"{of_labels}/PutLabels", answer=schema.LabelsResponse, body=schema.LabelsRequest),
        ours("/v1/endpoints", endpoints.list, f"{of_endpoints}/ListEndpoints", answer=schema.EndpointList, query=PAGE),
        ours("/v1/endpoints/{name}", endpoints.get, f"{of_endpoints}/GetEndpoint", answer=schema.Endpoint),
        ours("/v1/endpoints/{name}/report", labels.report, f"{of_labels}/GetReport", deadline_s=REPORT_S, answer=schema.Report,
             query=RANGE),
        ours("/v1/collections", collections.list, f"{of_collections}/ListCollections", answer=schema_collections.CollectionList,
             query=PAGE),
        ours(f"{collection}/documents", collections.list_documents, f"{of_collections}/ListDocuments",
             answer=schema_collections.DocumentList, query=PAGE),
        ours(document, collections.get_document, f"{of_collections}/GetDocument", answer=schema_collections.Document),
        writes("DELETE", document, collections.delete_document, f"{of_collections}/DeleteDocument",
               answer=schema_collections.DeleteResponse),
        get("/v1/models", models.list, "–", answer=schema.Models),
        get("/v1/models/{model}", models.get, "–", answer=schema.ModelReady),
        get("/v2", infer.metadata, f"{oip}/ServerMetadata", answer=schema.ServerMetadata, dialect=OIP),
        # Open to all, like every probe.
        Path("GET", "/v2/health/live", infer.live, f"{oip}/ServerLive", None, answer=schema.Live, dialect=OIP),
        get("/v2/health/ready", infer.ready, f"{oip}/ServerReady", answer=schema.Ready, dialect=OIP),
        get("/v2/models", infer.models, "–", answer=schema.ModelNames, dialect=KSERVE),
        get(model, infer.model, f"{oip}/ModelMetadata", answer=schema.ModelMetadata, dialect=OIP),
        get(version, infer.model, f"{oip}/ModelMetadata", answer=schema.ModelMetadata, dialect=OIP),
        get(f"{model}/ready", infer.model_ready, f"{oip}/ModelReady", answer=schema.ModelReady, dialect=OIP),
        get(f"{version}/ready", infer.model_ready, f"{oip}/ModelReady", answer=schema.ModelReady, dialect=OIP),
    ]  # fmt: skip
