"""NetworkPolicies are the call table, both ways, and nothing else gets through."""

import itertools

import pytest
import yaml

from tests.charts.rendering import CHART, Object, named, objects, of_kind, pods, render

TABLE = yaml.safe_load((CHART / "values.yaml").read_text())["allowedClients"]
COMPONENTS = [*TABLE, "jobs", "test"]
API_READERS = {"gateway", "features", "retrieval", "monitoring", "control", "jobs", "secrets"}


def labels_of(component: str) -> dict[str, str]:
    """Labels of one of the component's pods."""
    for _, pod in pods(objects("everything")):
        labels: dict[str, str] = pod["metadata"]["labels"]
        if labels["app.kubernetes.io/component"] == component:
            return labels
    raise AssertionError(f"no pod of {component}")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    exists = all(each["key"] in labels for each in selector.get("matchExpressions", []) if each["operator"] == "Exists")
    return exists and all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def lets(rules: list[Object], side: str, labels: dict[str, str], port: int) -> bool:
    """Whether a rule lets a pod of the same namespace through; peers of other namespaces don't count here."""
    return any(
        any(set(peer) == {"podSelector"} and selects(peer["podSelector"], labels) for peer in rule[side])
        and any(each["port"] == port for each in rule["ports"])
        for rule in rules
    )


def allowed(found: list[Object], caller: str, callee: str, port: int) -> bool:
    """As the cluster decides: selected pods need an allowance on both sides."""
    from_labels, to_labels = labels_of(caller), labels_of(callee)
    policies = [each["spec"] for each in of_kind(found, "NetworkPolicy")]
    out = [each for each in policies if selects(each["podSelector"], from_labels)]
    into = [each for each in policies if selects(each["podSelector"], to_labels)]
    assert out, f"no policy selects {caller}"
    assert into, f"no policy selects {callee}"
    return any(lets(each.get("egress") or [], "to", to_labels, port) for each in out) and any(
        lets(each.get("ingress") or [], "from", from_labels, port) for each in into
    )


PORTS = {
    "gateway": 8080,
    "features": 8101,
    "retrieval": 8102,
    "monitoring": 8103,
    "control": 8104,
    "inference": 9000,
    "valkey": 6391,
    "postgresql": 5433,
}


def test_the_matrix_is_the_call_table() -> None:
    found = list(objects("everything"))
    # The gateway lets in whom `clients` names; here only edges inside count.
    edges = {
        (caller, callee)
        for caller, callee in itertools.product(COMPONENTS, TABLE)
        if caller != callee and allowed(found, caller, callee, PORTS[callee])
    }
    assert edges == {
        (caller, callee)
        for callee, callers in TABLE.items()
        for caller in callers
        if caller not in ("clients", "admins")
    }


def test_every_pod_of_the_release_is_denied_by_default() -> None:
    policies = [each["spec"] for each in of_kind(objects("everything"), "NetworkPolicy")]
    for name, pod in pods(objects("everything")):
        own = [each for each in policies if selects(each["podSelector"], pod["metadata"]["labels"])]
        assert own, name
        assert all(set(each["policyTypes"]) == {"Ingress", "Egress"} for each in own), name


@pytest.mark.parametrize("preset", ["default", "everything", "prod"])
def test_no_rule_is_open_by_an_empty_list(preset: str) -> None:
    for policy in of_kind(objects(preset), "NetworkPolicy"):
        for side, rules in (("from", policy["spec"].get("ingress")), ("to", policy["spec"].get("egress"))):
            for rule in rules or []:
                assert rule.get(side), policy["metadata"]["name"]
                assert rule.get("ports"), policy["metadata"]["name"]


def test_only_readers_reach_the_kubernetes_api_and_all_reach_dns() -> None:
    for policy in of_kind(objects("everything"), "NetworkPolicy"):
        component = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        rules = policy["spec"].get("egress") or []
        reaches = any(peer.get("ipBlock") for rule in rules for peer in rule["to"])
        if component == "networking":
            assert rules == []
            continue
        assert reaches == (component in API_READERS), component
        assert any(port["port"] == 53 and port["protocol"] == "UDP" for rule in rules for port in rule["ports"]), (
            component
        )


def test_ops_ports_are_prometheus_alone() -> None:
    ops = {8180, 8181, 8182, 8183, 8184, 8002}
    prometheus = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    seen = set()
    for policy in of_kind(objects("everything"), "NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or []:
            numbers = {port["port"] for port in rule["ports"]}
            if numbers & ops:
                assert rule["from"] == prometheus
                seen |= numbers
    assert seen == ops


def test_outside_sources_and_external_stores_are_by_value() -> None:
    outside = {"ipBlock": {"cidr": "10.243.0.1/32"}}
    found = render({"networkPolicy": {"clients": [outside]}})
    gateway = named(found, "NetworkPolicy", "mizzen-gateway")["spec"]
    assert gateway["ingress"][0]["from"] == [outside]
    prod = named(objects("prod"), "NetworkPolicy", "mizzen-features")["spec"]
    assert {"to": [{"ipBlock": {"cidr": "10.20.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 6379}]} in prod[
        "egress"
    ]
    assert of_kind(objects("prod"), "StatefulSet") == []


def test_the_admin_api_is_for_admins_and_what_services_ask_for_services() -> None:
    found = list(objects("everything"))
    assert allowed(found, "gateway", "control", 8104)
    assert not allowed(found, "gateway", "control", 8088)
    (services,) = [
        rule
        for rule in named(found, "NetworkPolicy", "mizzen-control")["spec"]["ingress"]
        if rule["ports"][0]["port"] < 8180
    ]
    assert services["ports"] == [{"protocol": "TCP", "port": 8104}], "admins are nobody unless they are named"
    admins = [{"namespaceSelector": {"matchLabels": {"team": "platform"}}}]
    policy = named(render({"networkPolicy": {"admins": admins}}), "NetworkPolicy", "mizzen-control")["spec"]
    assert {"from": admins, "ports": [{"protocol": "TCP", "port": 8088}]} in policy["ingress"]


def test_the_public_service_has_no_ops_port() -> None:
    service = named(objects("default"), "Service", "mizzen-gateway")["spec"]
    assert {port["name"] for port in service["ports"]} == {"http", "grpc"}
    for name in ("features", "retrieval", "monitoring", "control"):
        assert named(objects("default"), "Service", f"mizzen-{name}")["spec"]["clusterIP"] == "None"
