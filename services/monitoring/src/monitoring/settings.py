"""What monitoring can be told, all by environment."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import Definitions, Postgres, ServiceSettings, Stream, Volumes


def _records(data: dict[str, Any]) -> Path:
    return Path(data["volumes"]) / "records"


class Settings(ServiceSettings, Definitions, Volumes, Stream, Postgres):
    """Environment of `python -m monitoring`: MIZZEN_MONITORING_… and the common ones."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_MONITORING_")
    room: ClassVar[str] = "monitoring"

    port: int = Field(8103, description="gRPC port of MonitoringService; 0 takes a free one.")
    ops_port: int = Field(8183, description="HTTP port of healthz, readyz and metrics; 0 takes a free one.")
    records: Path = Field(
        default_factory=_records, description="Directory of the Parquet record log; by default <volumes>/records."
    )
    consumer: str = Field(
        "monitoring-0",
        description="Name of this process among the consumers of the record stream; unique, and the same after a restart.",
    )
    label_timeout_s: float = Field(
        2.0, gt=0, description="Longest time that storing labels may take, seconds; then the answer is UNAVAILABLE."
    )
    match_every_s: float = Field(
        2.0, gt=0, description="Seconds between two attempts to join waiting labels with their predictions."
    )
    evaluate_every_s: float = Field(
        30.0, gt=0, description="Seconds between two evaluations of all endpoints; they feed drift and quality metrics."
    )
    compact_every_s: float = Field(
        60.0, gt=0, description="Seconds between two passes that merge small Parquet files of a day into one."
    )
    flush_s: float = Field(
        1.0,
        ge=0,
        description="Seconds that records are collected before they are written: larger files, later reports.",
    )
    query_memory: str = Field(
        "1GB", description="Memory that queries over the record log may use, e.g. 512MB; larger ones are refused."
    )
