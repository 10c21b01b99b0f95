"""The bodies of /v1/labels and of reports."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from gateway.api.http.bodies import Body, Number, Text
from gateway.domain.labels import MAX_LABELS


class Label(Body):
    """Ground truth of one row of one prediction."""

    request_id: Text
    row: int = Field(0, description="The row of the prediction, from 0.")
    output: Text
    value: Number
    event_time: str = Field(description="When the truth became known, RFC 3339; the latest wins.")


class LabelsRequest(Body):
    """Labels to store."""

    labels: Annotated[list[Label], FailFast()] = Field(json_schema_extra={"minItems": 1, "maxItems": MAX_LABELS})


class LabelFailure(BaseModel):
    """Why one label was not stored."""

    index: int
    code: str
    reason: str
    detail: str


class LabelsResponse(BaseModel):
    """What was stored."""

    stored: int
    older: int = Field(description="Left out because a later event time is stored.")
    errors: list[LabelFailure]


class Report(BaseModel):
    """Drift, quality and volumes; see docs for its fields."""

    model_config = ConfigDict(extra="allow")
