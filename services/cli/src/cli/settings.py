"""Settings of the command. Ports carry the names that the services themselves read, so one variable moves both."""

import sys
from pathlib import Path

from pydantic import Field

from chassis.settings import Definitions

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what is bound to all is reached on loopback


def _port(name: str, default: int, what: str) -> int:
    field: int = Field(default, validation_alias=f"MIZZEN_{name}_PORT", ge=1, le=65535, description=f"{what}.")
    return field


class Settings(Definitions):
    """What `mizzen` reads: where its files are, the Triton venv, and all ports of a Mizzen on one machine."""

    triton_venv: Path = Field(
        default_factory=lambda: Path(sys.prefix).parent / ".venv-triton",
        validation_alias="MIZZEN_TRITON_VENV",
        description="Virtual environment with tritonserver, which cannot share one with numpy 2.",
    )
    start_timeout_s: float = Field(
        120.0,
        validation_alias="MIZZEN_CLI_START_TIMEOUT_S",
        description="Seconds that `mizzen up` waits until everything is ready; a model may take half of them to load.",
    )
    gateway_url: str = Field(
        "",
        validation_alias="MIZZEN_GATEWAY_URL",
        description="Where jobs reach the public REST API; empty: the gateway of this machine.",
    )
    api_key_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_API_KEY_FILE",
        description="File with the API key that jobs show; unset shows none, which a laptop's gateway takes.",
    )
    given_api_key: str = Field(
        "",
        validation_alias="MIZZEN_API_KEY",
        repr=False,
        description="API key that the command shows; empty: that of MIZZEN_API_KEY_FILE, else this machine's own key.",
    )
    admin_url: str = Field(
        "",
        validation_alias="MIZZEN_ADMIN_URL",
        description="Root of control's admin API for `mizzen key --control`; empty: that of this machine.",
    )
    admin_key_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_ADMIN_KEY_FILE",
        description="File with the admin key that the command shows there; unset: this machine's own key.",
    )
    api_keys_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_GATEWAY_API_KEYS_FILE",
        description="Key file of the gateway; unset: keys/api-keys in the state, where `mizzen key create` has made it.",
    )
    service_secret_file: Path | None = Field(
        None,
        validation_alias="MIZZEN_SERVICE_SECRET_FILE",
        description="Hex secret that keys are hashed with; unset: keys/service.secret in the state.",
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias="MIZZEN_HOST",
        description="Address that the gateway is bound to; all else stays on loopback. Another than loopback needs API keys.",
    )
    allow_code: str = Field(
        "",
        validation_alias="MIZZEN_INFERENCE_ALLOW_CODE",
        description="Comma-separated names of the models that may run code of their packages; empty: packages are data only.",
    )
    gateway_rest_port: int = _port("GATEWAY_REST", 8080, "Public REST API")
    gateway_port: int = _port("GATEWAY", 8081, "Public gRPC API")
    gateway_ops_port: int = _port("GATEWAY_OPS", 8180, "Health and metrics of gateway")
    features_port: int = _port("FEATURES", 8101, "gRPC of features")
    features_ops_port: int = _port("FEATURES_OPS", 8181, "Health and metrics of features")
    retrieval_port: int = _port("RETRIEVAL", 8102, "gRPC of retrieval")
    retrieval_ops_port: int = _port("RETRIEVAL_OPS", 8182, "Health and metrics of retrieval")
    monitoring_port: int = _port("MONITORING", 8103, "gRPC of monitoring")
    monitoring_ops_port: int = _port("MONITORING_OPS", 8183, "Health and metrics of monitoring")
    control_port: int = _port("CONTROL", 8104, "gRPC of control")
    control_admin_port: int = _port("CONTROL_ADMIN", 8088, "Admin API of control")
    control_ops_port: int = _port("CONTROL_OPS", 8184, "Health and metrics of control")
    triton_grpc_port: int = _port("TRITON_GRPC", 9000, "gRPC of tritonserver")
    triton_metrics_port: int = _port("TRITON_METRICS", 8002, "Metrics of tritonserver")
    valkey_port: int = _port("VALKEY", 6391, "Valkey")
    postgres_port: int = _port("POSTGRES", 5433, "PostgreSQL")

    def gateway(self) -> str:
        """Root of the public REST API."""
        return self.gateway_url or f"http://{self.here()}:{self.gateway_rest_port}"

    def admin(self) -> str:
        """Root of the admin API."""
        return self.admin_url or f"http://127.0.0.1:{self.control_admin_port}"

    def here(self) -> str:
        """Where this machine reaches its gateway, as a URL has it."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host

    def models_with_code(self) -> tuple[str, ...]:
        """The names in `allow_code`."""
        return tuple(name for each in self.allow_code.split(",") if (name := each.strip()))

    def key_of_file(self) -> str:
        """The API key of `api_key_file`, empty without one. OSError when the file cannot be read."""
        return self.api_key_file.read_text(encoding="utf-8").strip() if self.api_key_file else ""

    def ports(self) -> dict[str, int]:
        """Every port by its setting's name without `_port`, e.g. {"gateway_rest": 8080, …}."""
        fields = (name for name in type(self).model_fields if name.endswith("_port"))
        return {name.removesuffix("_port"): getattr(self, name) for name in fields}
