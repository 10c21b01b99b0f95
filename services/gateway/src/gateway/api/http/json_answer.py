"""A JSON object as an answer."""

from typing import Any

import orjson
from fastapi import Response


class Json(Response):
    """What a handler answers by another status than 200; what it returns otherwise becomes one of these."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See Response."""
        return orjson.dumps(content)
