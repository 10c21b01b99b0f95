"""`helm test`: asks the gateway for a prediction and a search; where no example is installed, for an embedding.

`ask.py GATEWAY TIMEOUT_S`; every endpoint and collection that says an example is asked.
"""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEY = Path("/etc/mizzen/keys/api-key")
EMBEDDING = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["where do models live?"]}]}


class Gateway:
    """The REST API."""

    def __init__(self, url: str, key: str) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        """The answer's JSON. OSError with its text when it isn't 200."""
        connection = http.client.HTTPConnection(self._host, timeout=30)
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise OSError(f"{method} {path}: {answer.status} {text}")
        return dict(json.loads(text))


def questions(gateway: Gateway) -> Iterator[tuple[str, object]]:
    """(path, body) of everything that can be asked here."""
    asked = False
    for endpoint in gateway.ask("/v1/endpoints").get("items", []):
        example = gateway.ask(f"/v1/endpoints/{endpoint['name']}").get("example")
        if example:
            asked = True
            yield f"/v1/endpoints/{endpoint['name']}:predict", example
    for collection in gateway.ask("/v1/collections").get("items", []):
        asked = True
        yield f"/v1/collections/{collection['name']}:search", {"query": "model", "top_k": 3}
    if not asked:
        yield "/v2/models/minilm/infer", EMBEDDING


def main() -> None:
    """Asks until all is answered or the time is over."""
    gateway = Gateway(sys.argv[1], KEY.read_text().strip())
    deadline = time.monotonic() + float(sys.argv[2])
    while True:
        try:
            for path, body in questions(gateway):
                gateway.ask(path, body)
                sys.stdout.write(f"ok {path}\n")
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(str(error)) from error
            time.sleep(2)
        else:
            return


if __name__ == "__main__":
    main()
