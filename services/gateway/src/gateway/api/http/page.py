"""The page of /docs: Swagger UI over /openapi.json, from an installed package. Nothing is loaded from elsewhere."""

from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

# Scripts and calls of this origin only: many clusters have no elsewhere, and a page that shows definitions must not fetch one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_START = """
SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
# Path → (media type, file of the package; none for what is written here).
ASSETS = {
    "/docs/swagger-ui-bundle.js": ("text/javascript", "swagger-ui-bundle.js"),
    "/docs/swagger-ui.css": ("text/css", "swagger-ui.css"),
    "/docs/icon.png": ("image/png", "favicon.png"),
    "/docs/start.js": ("text/javascript", ""),
}
PATHS = frozenset(("/docs", "/openapi.json", *ASSETS))


def page(title: str) -> str:
    """The HTML, whose references are relative: it may stand behind a prefix."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} API</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="docs/swagger-ui.css">'
        '<link rel="icon" href="docs/icon.png"></head><body><div id="ui"></div>'
        '<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>'
    )


@cache
def asset(path: str) -> tuple[bytes, str]:
    """(content, media type) of one of ASSETS."""
    media_type, name = ASSETS[path]
    if not name:
        return _START.encode(), media_type
    package = find_spec("fastapi_offline")
    assert package is not None  # noqa: S101 - the gateway's requirements name it
    assert package.origin is not None  # noqa: S101
    return (Path(package.origin).parent / "static" / name).read_bytes(), media_type
