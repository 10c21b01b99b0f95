"""Every public REST path, once: OpenAPI, docs/api-map.md, dispatch, authorisation and the form of errors are made from it."""

from functools import partial

from gateway.api.edge import ASK_S, DEFAULT_S, INFER, INFER_S, READ, WRITE, WRITE_S
from gateway.api.http.dialects import KSERVE, OIP
from gateway.api.http.path import Path
from gateway.api.mizzen.collections import schema as of_collection
from gateway.api.mizzen.collections.rest import CollectionPaths
from gateway.api.mizzen.endpoints import schema as of_endpoint
from gateway.api.mizzen.endpoints.rest import EndpointPaths
from gateway.api.mizzen.features import schema as of_feature
from gateway.api.mizzen.features.rest import FeaturePaths
from gateway.api.mizzen.labels import schema as of_label
from gateway.api.mizzen.labels.rest import LabelPaths
from gateway.api.mizzen.models import schema as of_model
from gateway.api.mizzen.models.rest import ModelPaths
from gateway.api.oip import schema as of_tensor
from gateway.api.oip.rest import InferPaths
from gateway.domain.endpoints import MAX_PAGE
from gateway.domain.endpoints import PAGE as DEFAULT_PAGE

SEARCH_S, REPORT_S = 10.0, 30.0
# Triton's client says nothing about a JSON body.
TENSORS = frozenset({b"application/json", b"application/octet-stream", b""})
PAGE = {
    "page_size": f"Most items of a page, 1 to {MAX_PAGE}; {DEFAULT_PAGE} without it.",
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
    endpoint_rpc, feature_rpc, collection_rpc, label_rpc = (
        f"mizzen.gateway.v1.{name}Service" for name in ("Endpoint", "Feature", "Collection", "Label")
    )
    collection = "/v1/collections/{name}"
    document = f"{collection}/documents/{{id}}"
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    get = partial(Path, "GET", scope=READ, deadline_s=DEFAULT_S)
    ours = partial(get, query=NOTHING)
    infers = partial(
        Path, "POST", handler=infer.infer, grpc=f"{oip}/ModelInfer", scope=INFER, deadline_s=INFER_S, is_hot=True, dialect=OIP,
        body=of_tensor.InferRequest, answer=of_tensor.InferResponse, place="model/{model}", media=TENSORS,
    )  # fmt: skip
    writes = partial(Path, scope=WRITE, deadline_s=WRITE_S, idempotent=True)
    return [
        Path("POST", "/v1/endpoints/{name}:predict", endpoints.predict, f"{endpoint_rpc}/Predict", INFER, endpoints.deadline_s,
             of_endpoint.PredictResponse, of_endpoint.PredictRequest, is_hot=True, examples=endpoints.examples,
             place="endpoint/{name}"),
        infers(f"{model}/infer"),
        infers(f"{version}/infer"),
        Path("POST", "/v1/features:read", features.read, f"{feature_rpc}/ReadFeatures", INFER, DEFAULT_S,
             of_feature.ReadFeaturesResponse, of_feature.ReadFeaturesRequest, is_hot=True, place="features"),
        Path("POST", f"{collection}:search", collections.search, f"{collection_rpc}/Search", INFER, SEARCH_S,
             of_collection.SearchResponse, of_collection.SearchRequest, place="collection/{name}"),
        Path("POST", f"{collection}:ask", collections.ask, f"{collection_rpc}/Ask", INFER, ASK_S,
             of_collection.AskResponse, of_collection.AskRequest, place="answers/{name}"),
        writes("POST", f"{collection}/documents", collections.upsert, f"{collection_rpc}/UpsertDocuments",
               answer=of_collection.UpsertResponse, body=of_collection.UpsertRequest),
        writes("POST", "/v1/labels", labels.put, f"{label_rpc}/PutLabels",
               answer=of_label.LabelsResponse, body=of_label.LabelsRequest),
        ours("/v1/endpoints", endpoints.list, f"{endpoint_rpc}/ListEndpoints", answer=of_endpoint.EndpointList, query=PAGE),
        ours("/v1/endpoints/{name}", endpoints.get, f"{endpoint_rpc}/GetEndpoint", answer=of_endpoint.Endpoint),
        ours("/v1/endpoints/{name}/report", labels.report, f"{label_rpc}/GetReport", deadline_s=REPORT_S, answer=of_label.Report,
             query=RANGE),
        ours("/v1/collections", collections.list, f"{collection_rpc}/ListCollections", answer=of_collection.CollectionList,
             query=PAGE),
        ours(f"{collection}/documents", collections.list_documents, f"{collection_rpc}/ListDocuments",
             answer=of_collection.DocumentList, query=PAGE),
        ours(document, collections.get_document, f"{collection_rpc}/GetDocument", answer=of_collection.Document),
        writes("DELETE", document, collections.delete_document, f"{collection_rpc}/DeleteDocument",
               answer=of_collection.DeleteResponse),
        get("/v1/models", models.list, "–", answer=of_model.Models),
        get("/v1/models/{model}", models.get, "–", answer=of_tensor.ModelReady),
        get("/v2", infer.metadata, f"{oip}/ServerMetadata", answer=of_tensor.ServerMetadata, dialect=OIP),
        # Open to all, like every probe.
        Path("GET", "/v2/health/live", infer.live, f"{oip}/ServerLive", None, answer=of_tensor.Live, dialect=OIP),
        get("/v2/health/ready", infer.ready, f"{oip}/ServerReady", answer=of_tensor.Ready, dialect=OIP),
        get("/v2/models", infer.models, "–", answer=of_tensor.ModelNames, dialect=KSERVE),
        get(model, infer.model, f"{oip}/ModelMetadata", answer=of_tensor.ModelMetadata, dialect=OIP),
        get(version, infer.version, f"{oip}/ModelMetadata", answer=of_tensor.ModelMetadata, dialect=OIP),
        get(f"{model}/ready", infer.model_ready, f"{oip}/ModelReady", answer=of_tensor.ModelReady, dialect=OIP),
        get(f"{version}/ready", infer.version_ready, f"{oip}/ModelReady", answer=of_tensor.ModelReady, dialect=OIP),
    ]  # fmt: skip
