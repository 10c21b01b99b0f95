"""What tritonserver says of the models it was given: one that fails to load leaves the others serving."""

from pathlib import Path

from inference.runtime import left_out

TIMEOUT_S = 5.0
REASON_CHARACTERS = 400


def not_served(grpc_port: int, serving: Path) -> list[str]:
    """A line for each model that is not ready, with Triton's own reason; a Triton that doesn't answer is one line.

    `serving`: the private folder of the copies that it serves, where those are named that took too long to load.
    """
    # Imported here: it takes a quarter of a second, which other commands do without.
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    options = [("grpc.enable_http_proxy", 0)]
    with InferenceServerClient(f"127.0.0.1:{grpc_port}", channel_args=options) as client:
        try:
            told = client.get_model_repository_index(client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return [f"tritonserver does not list its models: {error}"]
    reasons = {model.name: model.reason for model in told.models if model.state != "READY"} | left_out(serving)
    return [f"model {name} is not served: {reason[:REASON_CHARACTERS]}" for name, reason in sorted(reasons.items())]
