"""The gateway's public gRPC port, as the chart's values ask for it."""

from typing import Any

from tests.charts.rendering import containers, named, render


def _gateway(**values: Any) -> tuple[dict[str, str], str]:
    """(environment, the whole Deployment as text)."""
    deployment = named(render(values), "Deployment", "mizzen-gateway")
    (container,) = containers(deployment["spec"]["template"])
    names = [entry["name"] for entry in container["env"]]
    assert sorted(names) == sorted(set(names)), "a variable is rendered twice"
    return {entry["name"]: str(entry.get("value", "")) for entry in container["env"]}, str(deployment)


def test_grpcio_serves_without_tls_by_default() -> None:
    env, _ = _gateway()
    assert env["MIZZEN_GATEWAY_PUBLIC_SERVER"] == "grpcio"
    assert env["MIZZEN_HOST"] == "0.0.0.0"
    assert not [name for name in env if "TLS" in name]


def test_a_secret_brings_tls_and_its_authority_clients() -> None:
    tls = {"secret": "edge-tls", "clientCertificates": True}
    env, deployment = _gateway(gateway={"grpc": {"maxConnectionAgeSeconds": 600, "tls": tls}})
    assert env["MIZZEN_GATEWAY_TLS_CERTIFICATE_FILE"] == "/etc/mizzen/keys/grpc.crt"
    assert env["MIZZEN_GATEWAY_TLS_CLIENT_CA_FILE"] == "/etc/mizzen/keys/grpc-clients.crt"
    assert env["MIZZEN_GATEWAY_MAX_CONNECTION_AGE_S"] == "600"
    assert "edge-tls" in deployment
    env, _ = _gateway(gateway={"grpc": {"tls": {"secret": "edge-tls"}}})
    assert "MIZZEN_GATEWAY_TLS_CLIENT_CA_FILE" not in env


def test_what_an_operator_sets_is_rendered_once_and_wins() -> None:
    env, _ = _gateway(serviceDefaults={"settings": {"MIZZEN_HOST": "::"}})
    assert env["MIZZEN_HOST"] == "::"
    env, _ = _gateway(serviceDefaults={"host": "::"})
    assert env["MIZZEN_HOST"] == "::"
