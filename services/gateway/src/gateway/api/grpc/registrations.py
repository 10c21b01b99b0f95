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
from gateway.domain.verbs import Verbs
from mizzen.gateway.v1 import gateway_pb2_grpc

_OURS = "mizzen.gateway.v1"


def registrations(verbs: Verbs, edge: Edge, table: Iterable[Path]) -> list[Registration]:
    """Every public gRPC service."""
    calls = Calls(edge, table)
    endpoints = EndpointServicer(calls, verbs.endpoints, verbs.predictor, verbs.inference, verbs.clock)
    features = FeatureServicer(calls, verbs.endpoints, verbs.reader)
    collections = CollectionServicer(calls, verbs.retriever, verbs.writes)
    labels = LabelServicer(calls, verbs.labels, verbs.writes)
    infer = InferenceServicer(calls, verbs.inferrer)
    return [
        Registration(gateway_pb2_grpc.add_EndpointServiceServicer_to_server, endpoints, f"{_OURS}.EndpointService"),
        Registration(add_features, features, f"{_OURS}.FeatureService"),
        Registration(
            gateway_pb2_grpc.add_CollectionServiceServicer_to_server, collections, f"{_OURS}.CollectionService"
        ),
        Registration(gateway_pb2_grpc.add_LabelServiceServicer_to_server, labels, f"{_OURS}.LabelService"),
        Registration(
            service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, infer, "inference.GRPCInferenceService"
        ),
    ]
