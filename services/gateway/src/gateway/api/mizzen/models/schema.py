"""The bodies of /v1/models."""

from typing import Any, Literal

from pydantic import BaseModel


class Models(BaseModel):
    """KServe's list and OpenAI's in one."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    models: list[str]
