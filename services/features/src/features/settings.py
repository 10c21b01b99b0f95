"""Settings of features: `MIZZEN_FEATURES_…`, beside the common ones."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import Definitions, OnlineStore, ServiceSettings, State


def _offline(data: dict[str, Any]) -> Path:
    return Path(data["state"]) / "volumes" / "offline"


class Offline(State):
    """For whatever reads the offline store."""

    offline_root: Path = Field(
        default_factory=_offline,
        validation_alias="MIZZEN_FEATURES_OFFLINE_ROOT",
        description="Directory that the tables' paths of feature views are under; nothing outside it is read.",
    )
    offline_memory: str = Field(
        "1GB",
        validation_alias="MIZZEN_FEATURES_OFFLINE_MEMORY",
        description="Most memory that DuckDB uses, e.g. 2GB; beyond it, it spills into the state directory.",
    )
    offline_threads: int = Field(
        2, ge=1, validation_alias="MIZZEN_FEATURES_OFFLINE_THREADS", description="Threads that DuckDB uses."
    )


class MaterializeSettings(Definitions, OnlineStore, Offline):
    """What a materialization reads."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_FEATURES_")


class Settings(ServiceSettings, Definitions, OnlineStore):
    """What the service reads."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_FEATURES_")
    room: ClassVar[str] = "features"

    port: int = Field(8101, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    ops_port: int = Field(8181, ge=0, le=65535, description="HTTP port of healthz, readyz and metrics.")
    store_timeout_ms: int = Field(
        200,
        ge=1,
        description="Longest wait for the online store in a read (for each 10,000 keys of a large one), milliseconds; then the read"
        " fails or takes defaults."
        " With what a request costs besides, answers take about 220 ms while the store is silent.",
    )
    store_stalled_ms: int = Field(
        2000,
        ge=10,
        description="Silence of a store that owes answers, milliseconds, after which its connection is given up.",
    )
    store_max_in_flight: int = Field(
        20_000, ge=1, description="Store commands awaiting an answer; more are refused with UNAVAILABLE."
    )
    max_rows: int = Field(10_000, ge=1, description="Rows of one read or write item; more are INVALID_ARGUMENT.")
    future_tolerance_s: float = Field(
        300.0, ge=0, description="How far past this machine's time a written event timestamp may be, seconds."
    )
