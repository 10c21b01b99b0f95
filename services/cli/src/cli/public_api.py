"""The public REST API and the admin API, as any client would call them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

import httpx2

CALLERS_FAULT = (400, 401, 403, 405, 413, 415, 422)
CANNOT_EXPLAIN = ("NO_BASELINE", "NOT_NUMERIC")
"""Reasons that a model's answers can't be explained, now or later."""
RETRY_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0


class ApiError(Exception):
    """An answer other than success; the message holds the problem's own words. `status` is 0 without an answer."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed soon: definitions and models are still loading right after the start."""
        return self.status not in CALLERS_FAULT and self.reason not in CANNOT_EXPLAIN


class _Api:
    """Blocking calls with a deadline each. `base` is like http://127.0.0.1:8080."""

    def __init__(self, base: str, *, api_key: str = "") -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.Client(base_url=base, headers=headers, timeout=120.0, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise ApiError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.is_success:
            return cast("dict[str, Any]", answer.json()) if answer.content else {}
        raise ApiError(f"{method} {path}: {_problem(answer)}", answer.status_code, _reason(answer))


class AdminApi(_Api):
    """API keys in control's database. `base` is like http://127.0.0.1:8088."""

    def create_key(self, wanted: Mapping[str, Any]) -> str:
        """The key itself."""
        return str(self._call("POST", "/admin/v1/keys", wanted)["key"])

    def keys(self, tenant: str = "") -> list[dict[str, Any]]:
        """Every key in force, page after page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            query = urlencode({"limit": 500, "tenant": tenant} | ({"after": after} if after else {}))
            page = self._call("GET", f"/admin/v1/keys?{query}")
            found.extend(page["keys"])
            after = page["next"]
            if not after:
                return found

    def revoke_key(self, key_id: str) -> None:
        """Refused by every gateway within seconds."""
        self._call("DELETE", f"/admin/v1/keys/{quote(key_id, safe='')}")


class PublicApi(_Api):
    """What an application calls."""

    def endpoint(self, name: str) -> dict[str, Any]:
        return self._call("GET", f"/v1/endpoints/{name}")

    def predict(self, endpoint: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", f"/v1/endpoints/{endpoint}:predict", request)

    def ask(self, collection: str, question: str) -> dict[str, Any]:
        return self._call("POST", f"/v1/collections/{collection}:ask", {"question": question})

    def upsert_documents(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._call("POST", f"/v1/collections/{collection}/documents", {"documents": list(documents)})

    def documents(self, collection: str) -> list[dict[str, Any]]:
        """Every document, page after page."""
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._call("GET", f"/v1/collections/{collection}/documents?page_size=1000&page_token={token}")
            items.extend(page["items"])
            token = page.get("next_page_token") or ""
            if not token:
                return items

    def delete_document(self, collection: str, document: str) -> None:
        self._call("DELETE", f"/v1/collections/{collection}/documents/{quote(document, safe='')}")


def patiently(call: Any, give_up_s: float) -> Any:
    """Call until it succeeds or can't any more; the last ApiError is raised."""
    give_up, pause_s = time.monotonic() + give_up_s, RETRY_PAUSE_S
    while True:
        try:
            return call()
        except ApiError as error:
            if not error.may_pass or time.monotonic() > give_up:
                raise
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _reason(answer: httpx2.Response) -> str:
    try:
        return str(answer.json().get("reason", ""))
    except (ValueError, AttributeError):
        return ""


def _problem(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        words = [str(problem[key]) for key in ("title", "detail", "reason", "field") if problem.get(key)]
        return f"{answer.status_code} {': '.join(words)}"
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
