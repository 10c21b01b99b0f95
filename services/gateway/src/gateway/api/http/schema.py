"""Errors as documents show them, one model a dialect."""

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """RFC 9457 problem document (`application/problem+json`); docs/errors.md lists the codes."""

    type: str = Field(description="URI of the code's description.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong and how to mend it.")
    code: str = Field(description="One of gRPC's names, e.g. INVALID_ARGUMENT.")
    reason: str = Field(description="Stable name of the cause, e.g. UNKNOWN_FIELD.")
    request_id: str = Field(description="Finds the request in logs and records.")
    field: str | None = Field(None, description="Where in the request, e.g. entities.tailnum[3].")
    ids: dict[str, str] | None = Field(None, description="Names of the things involved.")


class OipError(BaseModel):
    """Errors under /v2."""

    error: str = Field(description="What is wrong.")
