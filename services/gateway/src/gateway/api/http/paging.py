"""Pages of lists: `?page_size=&page_token=`."""

from chassis.errors import InvalidArgument
from gateway.api.http.request import Http
from gateway.domain.endpoints import MAX_PAGE


def page_of(http: Http) -> tuple[int, str]:
    """Page size (0 = the default) and token."""
    text = http.query.get("page_size", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE):
        raise InvalidArgument(f"page_size must be 1 to {MAX_PAGE}", reason="INVALID_VALUE", field="page_size")
    return int(text or 0), http.query.get("page_token", "")
