"""A JSON body as one of the models that OpenAPI shows. What is wrong is named by its field: `documents[3].metadata`."""

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from chassis.public.validation import UNKNOWN, refusal
from gateway.api.http.request import parse_object

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """Closed and strict: unknown fields are refused, and a text is no number.

    Fields tell types and shapes. How much may be asked for is for the domain to say, over REST and gRPC alike.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """One refusal for a million unknown fields, where pydantic would make a million."""
        if type(value) is dict:
            for name in value:
                if name not in cls.model_fields:
                    allowed = ", ".join(sorted(cls.model_fields))
                    raise PydanticCustomError(
                        UNKNOWN, "allowed here: {allowed}", {"name": name[:64], "allowed": allowed}
                    )
        return value


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not have NUL characters")
    return text


def _of_strings(value: dict[str, Any]) -> dict[str, Any]:
    if not all(type(each) is str for each in value.values()):
        raise ValueError("must be an object of strings")
    return value


def _number(value: Any) -> Any:
    return float(value) if type(value) is bool else value


Text = Annotated[str, AfterValidator(_without_nul)]
"""A string that every store takes."""
Strings = Annotated[
    dict[str, Any],
    AfterValidator(_of_strings),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
"""An object of strings, refused once however many are none."""
Number = Annotated[float, BeforeValidator(_number)]
"""A number, or true and false as 1 and 0."""


def parsed(raw: bytes, model: type[M]) -> M:
    """The body as `model`. InvalidArgument names the first field that is wrong."""
    value = parse_object(raw)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error.errors(include_url=False, include_input=False)[0]) from None
