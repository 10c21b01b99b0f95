"""/v1/models: KServe's list and OpenAI's in one answer, so that both clients find theirs."""

from typing import Any

from gateway.api.http.given import Called
from gateway.domain.infer import Inferrer


class ModelPaths:
    """Handlers."""

    def __init__(self, inferrer: Inferrer) -> None:
        self._inferrer = inferrer

    async def list(self) -> dict[str, Any]:
        """List models, as KServe and as OpenAI do."""
        names = self._inferrer.models()
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "mizzen"} for name in names]
        return {"object": "list", "data": data, "models": names}

    async def get(self, call: Called, model: str) -> dict[str, Any]:
        """Show whether a model is ready, as KServe and as OpenAI do."""
        # NotFound for an unknown name; a known one that does not answer is not ready.
        info = await self._inferrer.model(call, model, "")
        ready = await self._inferrer.ready(call, model, "")
        body = {"name": model, "ready": ready, "id": model, "object": "model", "created": 0, "owned_by": "mizzen"}
        return {**body, "versions": info.versions}
