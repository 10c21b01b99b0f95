"""Settings of the retrieval service, from the environment only."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import Definitions, Inference, Postgres, ServiceSettings


class Settings(ServiceSettings, Definitions, Postgres, Inference):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="MIZZEN_RETRIEVAL_", populate_by_name=True, extra="ignore", frozen=True
    )
    room: ClassVar[str] = "retrieval"

    port: int = Field(8102, description="gRPC port; 0 takes a free one.")
    ops_port: int = Field(8182, description="HTTP port of healthz, readyz and metrics; 0 takes a free one.")
    store_connections: int = Field(8, ge=1, description="Most connections to PostgreSQL.")
    store_waiting: int = Field(256, ge=0, description="Requests that may wait for a connection; more are refused.")
    store_connect_s: float = Field(2.0, gt=0, description="Seconds to connect to PostgreSQL before giving up.")
    store_timeout_s: float = Field(2.0, gt=0, description="Seconds after which a read counts as stalled (Unavailable).")
    embed_batch: int = Field(16, ge=1, description="Most texts sent to the embedding model in one call.")
    embed_in_flight: int = Field(32, ge=1, description="Most calls to the embedding model for questions at once.")
    embed_bulk_in_flight: int = Field(
        2, ge=1, description="Most calls to the embedding model for large upserts at once; more slow searches down."
    )
    embed_timeout_s: float = Field(
        2.0, gt=0, description="Seconds that a search or an answer waits for vectors before words alone count."
    )
    llm_url: str = Field(
        "",
        description="Root of an OpenAI-compatible API that writes answers, e.g. http://llm:8000/v1; empty: quotes only.",
    )
    llm_model: str = Field("", description="Model asked for at llm_url.")
    llm_key_file: Path | None = Field(None, description="File with the API key for llm_url; unset sends none.")
    llm_first_byte_s: float = Field(10.0, gt=0, description="Seconds that any wait for the language model may take.")

    def llm_key(self) -> str | None:
        """The API key, read now so that a rotated one is taken at the next call. OSError when unreadable."""
        return None if self.llm_key_file is None else self.llm_key_file.read_text(encoding="utf-8").strip()
