"""What control can be told, all by environment."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import Definitions, Postgres, ServiceSettings, is_loopback


class Settings(ServiceSettings, Definitions, Postgres):
    """Environment of `python -m control`: MIZZEN_CONTROL_… and the common ones."""

    model_config = SettingsConfigDict(env_prefix="MIZZEN_CONTROL_")
    room: ClassVar[str] = "control"

    port: int = Field(8104, description="gRPC port of ControlService, for services; 0 takes a free one.")
    admin_port: int = Field(8088, description="HTTP port of the admin API, for people and tools; 0 takes a free one.")
    ops_port: int = Field(8184, description="HTTP port of healthz, readyz and metrics; 0 takes a free one.")
    admin_key_file: Path | None = Field(
        None,
        description="File with the installation's own admin key; unset: nobody is asked for a key, on loopback only.",
    )
    max_body_bytes: int = Field(
        1_000_000, gt=0, description="Largest body of an admin request, bytes; a larger one is refused with 413."
    )

    @model_validator(mode="after")
    def _keys_off_loopback(self) -> "Settings":
        if self.admin_key_file is None and not is_loopback(self.host):
            raise ValueError(
                f"MIZZEN_HOST={self.host} is not loopback, and there is no admin key: set MIZZEN_CONTROL_ADMIN_KEY_FILE to a file"
            )
        return self
