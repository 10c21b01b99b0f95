"""A KServe transformer as people write it: entities → `feast serve` → the model on Triton by the v2 protocol.

python bench/kserve_peer.py PORT FEAST_PORT TRITON_PORT, in its own process.
"""

import sys
from typing import Any

import httpx
import kserve
import numpy as np
from kserve import context as kserve_context
from kserve.model import PredictorConfig
from kserve.protocol.infer_type import InferInput, InferRequest, InferResponse

FEATURES = [f"bench:f{number}" for number in range(50)]


class Transformer(kserve.Model):  # type: ignore[misc]  # kserve has no types
    """Takes `driver_id` INT64 [rows]."""

    def __init__(self, feast_port: int) -> None:
        super().__init__("bench")
        self._url = f"http://127.0.0.1:{feast_port}/get-online-features"
        self._http = httpx.AsyncClient(timeout=30)
        self.ready = True

    async def preprocess(self, payload: Any, headers: Any = None) -> InferRequest:
        """Features of the drivers as the model's tensor."""
        drivers = [int(driver) for driver in payload.inputs[0].data]
        response = await self._http.post(self._url, json={"features": FEATURES, "entities": {"driver_id": drivers}})
        response.raise_for_status()
        body = response.json()
        found = dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))
        columns = [found[name.partition(":")[2]]["values"] for name in FEATURES]
        tensor = InferInput("features", [len(drivers), len(FEATURES)], "FP32")
        tensor.set_data_from_numpy(np.array(columns, np.float32).T.copy(), binary_data=True)
        return InferRequest("bench", [tensor])

    async def postprocess(self, result: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """The model's answer as it is."""
        return InferResponse.from_rest(result) if isinstance(result, dict) and "outputs" in result else result


if __name__ == "__main__":
    port, feast_port, triton_port = (int(word) for word in sys.argv[1:4])
    server = kserve.ModelServer(http_port=port, enable_grpc=False, workers=1)
    kserve_context.set_predictor_config(PredictorConfig(f"127.0.0.1:{triton_port}", "v2"))
    server.start([Transformer(feast_port)])
