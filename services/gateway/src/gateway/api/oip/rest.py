"""/v2: the Open Inference Protocol's core. Health answers KServe's JSON bodies, which Triton's clients take as well."""

from typing import Any

from chassis.errors import InvalidArgument, Unavailable
from gateway.api.http.dialects import JSON
from gateway.api.http.request import LARGE_BODY, Http, beside
from gateway.api.oip.json import infer_body, infer_request
from gateway.domain.infer import Inferrer
from gateway.domain.inference import TensorInfo

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

    async def metadata(self, http: Http) -> dict[str, Any]:
        """Show who serves, and with which extensions."""
        return {"name": NAME, "version": VERSION, "extensions": EXTENSIONS}

    async def live(self, http: Http) -> None:
        """Say whether the gateway runs; open to all, like every probe."""
        await http.answer(b'{"live":true}')

    async def ready(self, http: Http) -> None:
        """Say whether any inference server answers."""
        ready = await self._inferrer.server_ready(http.call)
        await http.answer(b'{"ready":true}' if ready else b'{"ready":false}', 200 if ready else 503, JSON)

    async def models(self, http: Http) -> dict[str, Any]:
        """List the names of models."""
        return {"models": self._inferrer.models()}

    async def model(self, http: Http) -> dict[str, Any]:
        """Show a model's tensors."""
        call = http.call
        info = await self._inferrer.model(call, http.params["model"], http.params.get("version", ""))
        return {
            "name": info.name,
            "versions": info.versions,
            "platform": info.platform,
            "inputs": [_tensor(tensor) for tensor in info.inputs],
            "outputs": [_tensor(tensor) for tensor in info.outputs],
        }

    async def model_ready(self, http: Http) -> dict[str, Any]:
        """Say whether a model answers: 200, or 503."""
        call = http.call
        name = http.params["model"]
        self._inferrer.known(name)
        if not await self._inferrer.ready(call, name, http.params.get("version", "")):
            raise Unavailable(f"model {name} is not ready", reason="MODEL_NOT_READY", retry_after_s=1)
        return {"name": name, "ready": True}


def _tensor(tensor: TensorInfo) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _length(text: bytes | None) -> int | None:
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 12):
        field = "Inference-Header-Content-Length"
        raise InvalidArgument(f"{field} must be a whole number", reason="INVALID_VALUE", field=field)
    return int(text)
