"""The gRPC services of the public port."""

from collections.abc import Iterable

from tritonclient.grpc import service_pb2_grpc

from chassis.rpc.server import Registration
from gateway.api.edge import Edge
from gateway.api.grpc.calls import Calls
from gateway.api.http.path import Path
from gateway.api.mizzen.collections.grpc import CollectionServicer
from gateway.api.mizzen.endpoints.grpc import EndpointServicer
from gateway.api.mizzen.features.grpc import FeatureServicer, add_features
from gateway.api.mizzen.labels.grpc import LabelServicer
from gateway.api.oip.grpc import InferenceServicer
from gateway.domain.endpoints import Endpoints
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.predict import Predictor
from gateway.domain.read import Reader
from gateway.domain.retrieve import Retriever
from mizzen.gateway.v1 import gateway_pb2_grpc

_OURS = "mizzen.gateway.v1"


def registrations(
    edge: Edge,
    table: Iterable[Path],
    endpoints: Endpoints,
    predictor: Predictor,
    reader: Reader,
    inferrer: Inferrer,
    retriever: Retriever,
    labels: Labels,
    writes: IdempotentWrites,
) -> list[Registration]:
    """Every public gRPC service, its calls opened as the rows of `table` say."""
    calls = Calls(edge, table)
    ours = gateway_pb2_grpc
    return [
        Registration(
            ours.add_EndpointServiceServicer_to_server,
            EndpointServicer(calls, endpoints, predictor),
            f"{_OURS}.EndpointService",
        ),
        Registration(add_features, FeatureServicer(calls, endpoints, reader), f"{_OURS}.FeatureService"),
        Registration(
            ours.add_CollectionServiceServicer_to_server,
            CollectionServicer(calls, retriever, writes),
            f"{_OURS}.CollectionService",
        ),
        Registration(
            ours.add_LabelServiceServicer_to_server, LabelServicer(calls, labels, writes), f"{_OURS}.LabelService"
        ),
        Registration(
            service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server,
            InferenceServicer(calls, inferrer),
            "inference.GRPCInferenceService",
        ),
    ]
