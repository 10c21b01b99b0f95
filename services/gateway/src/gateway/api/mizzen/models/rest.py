"""/v1/models: KServe's list and OpenAI's in one answer, so that both clients find theirs."""

from typing import Any

from gateway.api.http.request import Http
from gateway.domain.infer import Inferrer


class ModelPaths:
    """Handlers."""

    def __init__(self, inferrer: Inferrer) -> None:
        self._inferrer = inferrer

    async def list(self, http: Http) -> dict[str, Any]:
        """List models, as KServe and as OpenAI do."""
        names = self._inferrer.models()
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "mizzen"} for name in names]
        return {"object": "list", "data": data, "models": names}

    async def get(self, http: Http) -> dict[str, Any]:
        """Show whether a model is ready, as KServe and as OpenAI do."""
        call = http.call
        name = http.params["model"]
        # NotFound for an unknown name; a known one that does not answer is not ready.
        info = await self._inferrer.model(call, name, "")
        ready = await self._inferrer.ready(call, name, "")
        body = {"name": name, "ready": ready, "id": name, "object": "model", "created": 0, "owned_by": "mizzen"}
        return {**body, "versions": info.versions}
