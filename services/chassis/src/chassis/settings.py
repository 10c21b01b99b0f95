"""Settings are environment variables and files, nothing else.

Common ones are read as ``MIZZEN_<NAME>``; a room's own, including its ports, as ``MIZZEN_<ROOM>_<NAME>``: a room sets
``env_prefix``, and every shared field below carries its full name. A room mixes in only what it uses.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

K = TypeVar("K", bound=BaseSettings)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_LOOPBACK_NAME = re.compile(rf"(?:localhost|127(?:\.{_OCTET}){{3}}|\[::1\])(?::[0-9]{{1,5}})?", re.IGNORECASE)


def _file(*parts: str) -> Any:
    """Default of a path below the state directory."""
    return lambda data: data["state"].joinpath(*parts)


class State(BaseSettings):
    """Where things are; mixed in by everything that has files."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_", populate_by_name=True, extra="ignore", frozen=True)

    state: Path = Field(
        default_factory=lambda: Path.cwd() / ".mizzen",
        validation_alias="MIZZEN_STATE",
        description="Directory that everything written lies under.",
    )


class ServiceSettings(State):
    """What every service reads."""

    room: ClassVar[str] = "chassis"

    host: str = Field("127.0.0.1", validation_alias="MIZZEN_HOST", description="Address that all ports are bound to.")
    port: int = Field(0, description="gRPC port; 0 takes a free one.")
    ops_port: int = Field(0, description="HTTP port of healthz, readyz and metrics; 0 takes a free one.")
    identity_public_key_file: Path = Field(
        default_factory=_file("keys", "identity.pub"),
        validation_alias="MIZZEN_IDENTITY_PUBLIC_KEY_FILE",
        description="PEM with the Ed25519 public keys whose identities are believed.",
    )
    service_secret_file: Path = Field(
        default_factory=_file("keys", "service.secret"),
        validation_alias="MIZZEN_SERVICE_SECRET_FILE",
        description="Hex secret by which services of one installation know each other.",
    )
    server: Literal["loop", "native", "grpcio"] = Field(
        "loop",
        validation_alias="MIZZEN_SERVER",
        description="gRPC server implementation: loop (chassis.rpc.loop_server, least CPU), native (pygrpc-native) or grpcio.",
    )
    client: Literal["loop", "grpcio"] = Field(
        "loop",
        validation_alias="MIZZEN_CLIENT",
        description="Client of unary calls to other services: loop (chassis.wire.client, least CPU) or grpcio.",
    )
    max_message_bytes: int = Field(
        64 * 1024 * 1024,
        validation_alias="MIZZEN_MAX_MESSAGE_BYTES",
        description="Largest gRPC message accepted, bytes; a larger one is refused with RESOURCE_EXHAUSTED.",
    )
    drain_s: float = Field(
        1.0,
        validation_alias="MIZZEN_DRAIN_S",
        description="Seconds between not-ready and refusing new work at shutdown.",
    )
    grace_s: float = Field(
        20.0,
        validation_alias="MIZZEN_GRACE_S",
        description="Seconds that work in flight may take at shutdown before it is cut.",
    )
    batch_scheduling: bool = Field(
        True,
        validation_alias="MIZZEN_BATCH_SCHEDULING",
        description="Whether a service wakes without interrupting who runs (SCHED_BATCH, ADR 0020); Linux alone.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="MIZZEN_LOG_LEVEL", description="Least severe level that is logged."
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OTLP gRPC endpoint that spans go to; empty turns tracing off.",
    )
    tenant_labels: str = Field(
        "default",
        validation_alias="MIZZEN_TENANT_LABELS",
        description="Comma-separated tenants named in metric labels; all others are counted as `other`.",
    )


class Definitions(State):
    """For rooms that load definitions."""

    definitions: Path | str = Field(
        default_factory=_file("definitions"),
        validation_alias="MIZZEN_DEFINITIONS",
        description="Directory of YAML definitions, or kubernetes:NAMESPACE; watched for changes.",
    )


class Volumes(State):
    """For rooms that read or write volumes."""

    volumes: Path = Field(
        default_factory=_file("volumes"),
        validation_alias="MIZZEN_VOLUMES",
        description="Directory that pvc://CLAIM/PATH is resolved in, as CLAIM/PATH.",
    )


@dataclass(frozen=True, slots=True)
class StoreLogin:
    """A Redis or Valkey and how to log in there.

    `credentials` answers (password,) or (user, password), read anew for each connection so that a rotated password is taken, and
    raises OSError when the file cannot be read; `url` then names nobody. Without a file it is None, and the URL says all.
    """

    url: str
    credentials: Callable[[], tuple[str, ...]] | None = None

    @classmethod
    def of(cls, url: str, password_file: Path | None) -> "StoreLogin":
        """From settings."""
        if password_file is None:
            return cls(url)
        parts = urlsplit(url)
        user = unquote(parts.username or "")

        def credentials() -> tuple[str, ...]:
            password = password_file.read_text(encoding="utf-8").strip()
            return (user, password) if user else (password,)

        return cls(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), credentials)


class OnlineStore(BaseSettings):
    """For rooms that use the online store."""

    online_url: str = Field(
        "redis://127.0.0.1:6391/0",
        validation_alias="MIZZEN_ONLINE_URL",
        description="Redis or Valkey that holds feature rows and quotas.",
    )
    online_password_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_ONLINE_PASSWORD_FILE",
        description="File with the password of the online store; unset takes what the URL carries.",
    )

    def online(self) -> "StoreLogin":
        """Where the online store is and how to log in there."""
        return StoreLogin.of(self.online_url, self.online_password_file)


class Stream(BaseSettings):
    """For rooms at either end of the record stream."""

    stream_url: str = Field(
        "redis://127.0.0.1:6391/0",
        validation_alias="MIZZEN_STREAM_URL",
        description="Redis or Valkey that holds the record stream.",
    )
    stream_password_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_STREAM_PASSWORD_FILE",
        description="File with the password of the record stream's store; unset takes what the URL carries.",
    )

    def stream(self) -> "StoreLogin":
        """Where the record stream is and how to log in there."""
        return StoreLogin.of(self.stream_url, self.stream_password_file)


class Postgres(BaseSettings):
    """For rooms that use PostgreSQL."""

    postgres_url: str = Field(
        "postgresql://mizzen@127.0.0.1:5433/mizzen",
        validation_alias="MIZZEN_POSTGRES_URL",
        description="PostgreSQL with pgvector, without the password.",
    )
    postgres_password_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_POSTGRES_PASSWORD_FILE",
        description="File with the password of the user in the URL; unset connects without one.",
    )

    def postgres_password(self) -> str | None:
        """The password, read now so that a rotated one is taken at the next connection. OSError when unreadable."""
        if self.postgres_password_file is None:
            return None
        return self.postgres_password_file.read_text(encoding="utf-8").strip()

    postgres_owner: str = Field(
        "",
        validation_alias="MIZZEN_POSTGRES_OWNER",
        description="Role that owns the tables and runs migrations, so that the serving role can't switch row-level security "
        "off; empty: the serving role owns its tables, and each start warns of that.",
    )
    postgres_owner_password_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_POSTGRES_OWNER_PASSWORD_FILE",
        description="File with the password of postgres_owner, read while migrating only.",
    )

    def postgres_owner_password(self) -> str | None:
        """The owner's password, read now. OSError when unreadable."""
        if self.postgres_owner_password_file is None:
            return None
        return self.postgres_owner_password_file.read_text(encoding="utf-8").strip()


class FeaturesUpstream(BaseSettings):
    """For rooms that call features."""

    features_addresses: str = Field(
        "static:127.0.0.1:8101",
        validation_alias="MIZZEN_FEATURES_ADDRESSES",
        description="Where features is served (chassis.rpc.channel.parse_addresses).",
    )


class RetrievalUpstream(BaseSettings):
    """For rooms that call retrieval."""

    retrieval_addresses: str = Field(
        "static:127.0.0.1:8102",
        validation_alias="MIZZEN_RETRIEVAL_ADDRESSES",
        description="Where retrieval is served (chassis.rpc.channel.parse_addresses).",
    )


class MonitoringUpstream(BaseSettings):
    """For rooms that call monitoring."""

    monitoring_addresses: str = Field(
        "static:127.0.0.1:8103",
        validation_alias="MIZZEN_MONITORING_ADDRESSES",
        description="Where monitoring is served (chassis.rpc.channel.parse_addresses).",
    )


class Inference(BaseSettings):
    """For rooms that call Triton."""

    inference_addresses: str = Field(
        "static:127.0.0.1:9000",
        validation_alias="MIZZEN_INFERENCE_ADDRESSES",
        description="Where InferenceServices are served; {name} stands for the InferenceService's name.",
    )


def from_environment(kind: type[K]) -> K:
    """The settings of this process. SystemExit with a sentence for each that is wrong: no value of theirs, no trace."""
    try:
        return kind()
    except ValidationError as error:
        raise SystemExit("\n".join(faults_of(error, kind))) from None


def faults_of(error: ValidationError, kind: type[BaseSettings] = BaseSettings) -> list[str]:
    """A line for each setting of `kind` that is wrong, with the name of its variable."""
    lines = []
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        if found["type"] == "default_factory_not_called":  # a default that waits for a setting that is wrong
            continue
        name = ".".join([_variable(kind, str(step)) if not n else str(step) for n, step in enumerate(found["loc"])])
        reason = str(found["msg"]).removeprefix("Value error, ")
        lines.append(f"{name}: {reason}" if name else reason)
    return lines


def _variable(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a field; a field with an alias of its own is named by that already."""
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper() if name in kind.model_fields else name


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names_loopback(authority: str) -> bool:
    """Whether a request's Host is a name of this machine's loopback: another's page can make its own name lead there."""
    return _LOOPBACK_NAME.fullmatch(authority) is not None


def without_password(url: str) -> str:
    """`url` fit for a log line."""
    return re.sub(r"(?<=:)[^:@/]*(?=@)", "***", url)
