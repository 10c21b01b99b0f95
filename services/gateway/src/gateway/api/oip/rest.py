"""/v2: the Open Inference Protocol's core. Health answers KServe's JSON bodies, which Triton's clients take as well."""

from typing import Any

from fastapi import Response

from chassis.errors import InvalidArgument, Unavailable
from gateway.api.http.given import Called
from gateway.api.http.json_answer import Json
from gateway.api.http.request import LARGE_BODY, Http, beside
from gateway.api.oip.json import infer_body, infer_request
from gateway.domain.infer import Inferrer
from gateway.domain.inference import ModelInfo, TensorInfo
from gateway.domain.model import Call

NAME, VERSION, EXTENSIONS = "mizzen", "0.1.0", ["binary_tensor_data", "parameters"]


class InferPaths:
    """Handlers."""

    def __init__(self, inferrer: Inferrer) -> None:
        self._inferrer = inferrer

    async def infer(self, http: Http) -> None:
        """Infer: tensors in, tensors out."""
        call = http.call
        length = http.headers.get(b"inference-header-content-length")
        names = http.params["model"], http.params.get("version", "")
        request, binary = await http.read(lambda body: infer_request(body, *names, _length(length)))
        answer = await http.while_there(self._inferrer.infer(call, request))
        large = sum(len(tensor.raw) for tensor in answer.outputs) > LARGE_BODY
        body, head = await beside(infer_body, answer, binary) if large else infer_body(answer, binary)
        if head is None:
            await http.answer(body)
        else:
            headers = [(b"inference-header-content-length", str(head).encode())]
            await http.answer(body, 200, b"application/octet-stream", headers)

    async def metadata(self) -> dict[str, Any]:
        """Show who serves, and with which extensions."""
        return {"name": NAME, "version": VERSION, "extensions": EXTENSIONS}

    async def live(self) -> dict[str, Any]:
        """Say whether the gateway runs; open to all, like every probe."""
        return {"live": True}

    async def ready(self, call: Called) -> Response:
        """Say whether any inference server answers."""
        ready = await self._inferrer.server_ready(call)
        return Json({"ready": ready}, 200 if ready else 503)

    async def models(self) -> dict[str, Any]:
        """List the names of models."""
        return {"models": self._inferrer.models()}

    async def model(self, call: Called, model: str) -> dict[str, Any]:
        """Show a model's tensors."""
        return _model(await self._inferrer.model(call, model, ""))

    async def version(self, call: Called, model: str, version: str) -> dict[str, Any]:
        """Show the tensors of a model's version."""
        return _model(await self._inferrer.model(call, model, version))

    async def model_ready(self, call: Called, model: str) -> dict[str, Any]:
        """Say whether a model answers: 200, or 503."""
        return await self._ready(call, model, "")

    async def version_ready(self, call: Called, model: str, version: str) -> dict[str, Any]:
        """Say whether a model's version answers: 200, or 503."""
        return await self._ready(call, model, version)

    async def _ready(self, call: Call, model: str, version: str) -> dict[str, Any]:
        self._inferrer.known(model)
        if not await self._inferrer.ready(call, model, version):
            raise Unavailable(f"model {model} is not ready", reason="MODEL_NOT_READY", retry_after_s=1)
        return {"name": model, "ready": True}


def _model(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "versions": info.versions,
        "platform": info.platform,
        "inputs": [_tensor(tensor) for tensor in info.inputs],
        "outputs": [_tensor(tensor) for tensor in info.outputs],
    }


def _tensor(tensor: TensorInfo) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _length(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 12):
        field = "Inference-Header-Content-Length"
        raise InvalidArgument(f"{field} must be a whole number", reason="INVALID_VALUE", field=field)
    return int(text)
