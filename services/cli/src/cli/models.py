"""What tritonserver says of the models it was given: one that fails to load leaves the others serving."""

import httpx2

TIMEOUT_S = 5.0
REASON_CHARACTERS = 400


def not_served(http_port: int) -> list[str]:
    """A line for each model that is not ready, with Triton's own reason; a Triton that doesn't answer is one line."""
    try:
        answer = httpx2.post(
            f"http://127.0.0.1:{http_port}/v2/repository/index", json={}, timeout=TIMEOUT_S, trust_env=False
        )
        told = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        return [f"tritonserver does not list its models: {error}"]
    return [
        f"model {model['name']} is not served: {model.get('reason', '')[:REASON_CHARACTERS]}"
        for model in told
        if model.get("state") != "READY"
    ]
