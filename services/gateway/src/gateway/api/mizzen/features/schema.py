"""The bodies of /v1/features:read, which has a parser of its own; a property compares the two."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.api.http.bodies import Body


class FeatureValues(BaseModel):
    """One feature, a value a row."""

    values: list[Any]
    statuses: list[Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "UNAVAILABLE"]]
    event_timestamps: list[str | None]


class ReadFeaturesRequest(Body):
    """Which features of which entities."""

    features: list[str] = Field(description="References view:feature.", examples=[["plane:seats"]])
    entities: dict[str, list[Any]]
    inputs: dict[str, list[Any]] = Field(default_factory=dict)


class ReadFeaturesResponse(BaseModel):
    """Feature values, a column per reference."""

    request_id: str
    features: dict[str, FeatureValues]
