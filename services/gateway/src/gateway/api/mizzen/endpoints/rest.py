"""/v1/endpoints: what can be predicted, and predict."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.api.edge import DEFAULT_S
from gateway.api.http.given import Called, Page
from gateway.api.http.request import Http
from gateway.api.mizzen.endpoints.json import endpoint_json, predict_json, predict_request
from gateway.domain.endpoints import Endpoints
from gateway.domain.predict import Predictor


class EndpointPaths:
    """Handlers."""

    def __init__(self, endpoints: Endpoints, predictor: Predictor) -> None:
        self._endpoints = endpoints
        self._predictor = predictor

    def deadline_s(self, params: Mapping[str, str]) -> float:
        """Seconds that a predict has: the endpoint's own, which strangers are not told, as a key is asked for all the same."""
        return self._endpoints.deadline_s(params["name"], DEFAULT_S)

    def examples(self) -> Mapping[str, Any]:
        """Endpoint → a request body that works as it stands."""
        return self._endpoints.examples()

    async def predict(self, http: Http) -> None:
        """Predict: entities and inputs in, the model's outputs out."""
        call = http.call
        plan = self._endpoints.runnable(http.params["name"])
        request = predict_request(await http.json(), plan)
        await http.answer_json(predict_json(await http.while_there(self._predictor.predict(call, plan, request))))

    async def list(self, call: Called, page: Page) -> dict[str, Any]:
        """List endpoints."""
        plans, token = self._endpoints.page(*page)
        ready = await asyncio.gather(*(self._predictor.ready(call, plan) for plan in plans))
        items = [endpoint_json(plan, ready=is_ready) for plan, is_ready in zip(plans, ready, strict=True)]
        return {"items": items, "next_page_token": token}

    async def get(self, call: Called, name: str) -> dict[str, Any]:
        """Show an endpoint, with a request that works."""
        plan = self._endpoints.get(name)
        return endpoint_json(plan, ready=await self._predictor.ready(call, plan))
