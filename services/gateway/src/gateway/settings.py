"""What the gateway reads from its environment."""

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.public.http_bounds import HttpBounds
from chassis.settings import (
    Definitions,
    FeaturesUpstream,
    Inference,
    MonitoringUpstream,
    RetrievalUpstream,
    ServiceSettings,
    Stream,
    is_loopback,
)

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


class Settings(
    ServiceSettings, Definitions, Stream, FeaturesUpstream, RetrievalUpstream, MonitoringUpstream, Inference
):
    """`MIZZEN_GATEWAY_<NAME>` for the gateway's own."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_GATEWAY_", populate_by_name=True, extra="ignore", frozen=True)
    room: ClassVar[str] = "gateway"

    port: int = Field(8081, description="Public gRPC port; 0 takes a free one.")
    public_server: Literal["grpcio", "native"] = Field(
        "grpcio",
        description="Server of the public gRPC port: grpcio, or native (pygrpc-native, HTTP/2 by hyper in Rust), which takes less"
        " than half of the CPU and does not bound what strangers send: for networks of clients that are trusted (ADR 0019)."
        " grpcio serves anyway where only it has what another setting asks for.",
    )
    answer_timeout_s: float = Field(
        15.0,
        gt=0,
        description="Seconds after which a client that does not read its answer is disconnected; over REST it has to take 64 KiB"
        " in them, or all that is left.",
    )
    max_held_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1024 * 1024,
        description="Unfinished requests and unread answers of all connections of a public port together, bytes, for the gRPC port"
        " and as much again for REST; over it the connection that holds most is ended.",
    )
    max_connections: int = Field(
        512,
        ge=1,
        description="Public gRPC connections at once; for one more, an idle one of the address that has most is closed.",
    )
    max_connection_age_s: float = Field(
        0.0,
        ge=0,
        description="Seconds after which a public gRPC connection is asked to connect anew, to spread clients over new pods;"
        " 0 never. Another value is served by grpcio.",
    )
    answer_compression: Literal["auto", "off", "text", "all"] = Field(
        "auto",
        description="gRPC answers of 1 KiB to 4 MiB that leave as gzip where the client takes it: off, text (documents, reports,"
        " definitions) or all (tensors and features too, which costs CPU and saves little). auto is text on grpcio and off on"
        " native, which has none; text and all are served by grpcio.",
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="PEM with the certificate chain of the public gRPC port; unset serves without TLS. TLS is served by grpcio.",
    )
    tls_key_file: Path | None = Field(None, description="PEM with the certificate's private key.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM with the authorities of client certificates; set, a gRPC client must present one."
    )
    rest_port: int = Field(8080, description="Public REST port; 0 takes a free one.")
    ops_port: int = Field(8180, description="HTTP port of healthz, readyz and metrics; 0 takes a free one.")
    identity_key_file: Path = Field(
        default_factory=lambda data: data["state"] / "keys" / "identity.key",
        description="PEM with the Ed25519 private key that identities are signed with.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="Lines of name:tenant:scopes:hash[:expires]; without it everybody is anonymous, which only loopback allows.",
    )
    own_keys_file: Path | None = Field(
        None, description="A second file of such lines, for who runs the gateway: `mizzen up` keeps its own key there."
    )
    api_keys_grace_s: float = Field(
        300.0,
        ge=5,
        description="Seconds that known keys go on when their file cannot be read any more; then they get 503.",
    )
    control_addresses: str = Field(
        "",
        validation_alias="MIZZEN_CONTROL_ADDRESSES",
        description="Where control is served (chassis.rpc.channel.parse_addresses): its API keys are taken beside those of the"
        " files. Empty: only those of the files are. Without a key file it is not asked.",
    )
    max_body_bytes: int = Field(
        16 * 1024 * 1024,
        ge=1024,
        description="Largest request, bytes: a larger REST body gets 413 while it arrives, a larger gRPC message"
        " RESOURCE_EXHAUSTED.",
    )
    body_timeout_s: float = Field(
        15.0, gt=0, description="Seconds in which a request's body has to arrive, over REST and gRPC."
    )
    head_timeout_s: float = Field(15.0, gt=0, description="Seconds in which the head of a REST request has to arrive.")
    max_rest_connections: int = Field(
        2048,
        ge=16,
        description="REST connections at once; for one more, the one that has been idle the longest is closed.",
    )
    cors_origins: str = Field(
        "",
        description="Comma-separated origins (https://app.example) whose pages may read REST answers; * is all; empty is none.",
    )
    max_in_flight: int = Field(
        1024, ge=16, description="Calls of this process at once; more get UNAVAILABLE, whatever admission has learnt."
    )
    queue_ms: float = Field(
        50.0,
        gt=0,
        description="Time that calls of an endpoint, model or collection may wait in queues before more are refused, ms.",
    )
    lag_ms: float = Field(
        20.0, gt=0, description="Time that this process's event loop may be late before calls are refused, ms."
    )
    max_model_in_flight: int = Field(
        256, ge=1, description="Bare inferences of one model at once; more get RESOURCE_EXHAUSTED."
    )
    max_shadows: int = Field(64, ge=0, description="Shadow requests under way at once; more are dropped and counted.")
    record_queue: int = Field(10_000, ge=1, description="Records that wait for the stream; more are dropped, counted.")
    record_queue_bytes: int = Field(
        64 * 1024 * 1024, ge=1, description="Bytes of records that wait for the stream; more are dropped, counted."
    )
    record_max_lag: int = Field(
        100_000, ge=1, description="Unread stream entries over which new records are dropped and counted."
    )
    record_max_tensor_bytes: int = Field(
        65_536, ge=0, description="Tensors of bare inferences larger than this are left out of records, bytes."
    )
    retry_ratio: float = Field(0.1, ge=0, le=1, description="Retries that each upstream call earns: the retry budget.")

    def http_bounds(self) -> HttpBounds:
        """Bounds of the public REST port."""
        return HttpBounds(
            head_s=self.head_timeout_s,
            body_s=self.body_timeout_s,
            answer_s=self.answer_timeout_s,
            connections=self.max_rest_connections,
            buffered_bytes=self.max_held_bytes,
        )

    def cors(self) -> frozenset[str]:
        """The origins of `cors_origins`."""
        return frozenset(text for part in self.cors_origins.split(",") if (text := part.strip()))

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        name = "MIZZEN_GATEWAY_CORS_ORIGINS"
        for origin in self.cors() - {"*"}:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{name}: {origin!r} is no origin; write one like https://app.example or http://host:3000"
                )
        if "*" in self.cors() and self.api_keys_file is None:
            raise ValueError(f"{name}=* lets any page write where there are no API keys: name the origins instead")
        return self

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("set both MIZZEN_GATEWAY_TLS_CERTIFICATE_FILE and MIZZEN_GATEWAY_TLS_KEY_FILE, or neither")
        if self.tls_client_ca_file is not None and self.tls_certificate_file is None:
            raise ValueError("MIZZEN_GATEWAY_TLS_CLIENT_CA_FILE needs MIZZEN_GATEWAY_TLS_CERTIFICATE_FILE")
        return self

    @model_validator(mode="after")
    def _a_public_port_has_keys(self) -> Self:
        if self.api_keys_file is None and not is_loopback(self.host):
            raise ValueError(
                f"MIZZEN_HOST={self.host} is not loopback, so API keys are needed: make one with `mizzen key create NAME`, and set "
                "MIZZEN_GATEWAY_API_KEYS_FILE to its file"
            )
        return self
