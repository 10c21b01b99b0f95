"""How the gateway's settings serve its public gRPC port."""

from chassis.public.grpc import PublicGrpc, Tls
from chassis.public.guard import Bounds
from gateway.api.edge import Edge
from gateway.api.grpc.calls import admitting
from gateway.settings import Settings

# Services whose answers are text. Tensors and features are numbers, which gzip hardly makes smaller.
_TEXT = ("CollectionService", "LabelService", "EndpointService", "ServerReflection")


def public_grpc(settings: Settings, edge: Edge) -> PublicGrpc:
    """The port as `settings` ask for it; a call's key is looked at before its body is read."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    compression = settings.answer_compression
    if compression == "auto":
        compression = "text" if settings.public_server == "grpcio" else "off"

    def compressed(service: str) -> bool:
        return compression == "all" or (compression == "text" and service.rpartition(".")[2] in _TEXT)

    return PublicGrpc(
        kind=settings.public_server,
        bounds=Bounds(
            message_bytes=settings.max_body_bytes,
            held_bytes=settings.max_held_bytes,
            body_timeout_s=settings.body_timeout_s,
            answer_timeout_s=settings.answer_timeout_s,
            connections=settings.max_connections,
        ),
        admit=admitting(edge),
        compressed=None if compression == "off" else compressed,
        tls=None if certificate is None or key is None else Tls(certificate, key, settings.tls_client_ca_file),
        max_connection_age_s=settings.max_connection_age_s,
    )
