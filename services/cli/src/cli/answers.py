"""The end of the screen: what came out, and how to ask for it oneself."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import Endpoint
from cli.settings import Settings

FEATURES_SHOWN = 3
CASE_TIMEOUT_S = 60.0
ANY_QUESTION = "What is this about?"
QUOTE_CHARACTERS = 160
KEY_HEADER = '-H "Authorization: Bearer $MIZZEN_API_KEY"'  # the shell puts the key in, so no screen shows it


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is worth asking, and what is known about it beside the answer."""

    endpoint: str
    request: Mapping[str, Any]
    title: str = ""
    truth: str = ""
    output: str = ""
    question: str = ""
    explain: bool = True

    def body(self, **options: bool) -> dict[str, Any]:
        """The request with more options switched on: `explain` where the model can."""
        explained = {"explain": True} if self.explain else {}
        return {**self.request, "options": {**self.request.get("options", {}), **options, **explained}}


def find_case(project: Path, endpoint: Endpoint | None, offline: Path, environment: Mapping[str, str]) -> Case | None:
    """The project's own case (`case.py`, one JSON object on its output), else the endpoint's example, else None."""
    script = project / "case.py"
    if script.is_file():
        command = [sys.executable, str(script.resolve()), "--root", str(offline)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=CASE_TIMEOUT_S, env=dict(environment)
        )
        if done.returncode:
            raise RuntimeError(f"{script} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return Case(**json.loads(done.stdout))
    if endpoint is None or endpoint.spec.example is None:
        return None
    return Case(endpoint.name, endpoint.spec.example.model_dump())


def prediction_lines(case: Case, answer: Mapping[str, Any]) -> list[str]:
    """The answer beside the truth, and the features that moved it most."""
    output = case.output or next(iter(answer["outputs"]))
    value = answer["outputs"][output][0]
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    lines = [f"{case.title or case.endpoint}: {output} {shown}"]
    if case.truth:
        lines[0] += f"   (what happened: {case.truth})"
    moved = sorted(explanations(answer), key=lambda each: -abs(each[1]))[:FEATURES_SHOWN]
    features = answer.get("features") or {}
    for ref, contribution in moved:
        now = features.get(ref, {}).get("values", [None])[0]
        known = f" = {now:.3g}" if isinstance(now, float) else f" = {now}" if now is not None else ""
        lines.append(f"  {contribution:+.3f}  {ref}{known}")
    if answer.get("degraded"):
        lines.append("  degraded: a dependency was down and declared defaults were used")
    return lines


def explanations(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(reference, change of the first output) of row 0."""
    told = answer.get("explanations") or {}
    if isinstance(told, Mapping):
        return [(ref, _first(change)) for ref, change in told.items()]
    return [(each["ref"], _first(each["contributions"])) for each in told]


def answer_lines(question: str, answer: Mapping[str, Any]) -> list[str]:
    """The cited answer, each citation as file:line."""
    lines = [f"“{question}”", *(f"  {line}" for line in str(answer["text"]).strip().splitlines())]
    for number, citation in enumerate(answer.get("citations", []), 1):
        quote = " ".join(str(citation.get("quote", "")).split())[:QUOTE_CHARACTERS]
        lines.append(f"  [{number}] {citation['source']}:{citation['line_start']}  {quote}")
    return lines


def try_lines(
    settings: Settings, case: Case | None, collection: str | None, question: str, login: Path | None = None
) -> list[str]:
    """Commands that work as pasted. `login` is a file with the API key to show, where one is asked for."""
    rest, grpc = f"http://{settings.here()}:{settings.gateway_rest_port}", f"{settings.here()}:{settings.gateway_port}"
    key = "" if login is None else f"{KEY_HEADER} "
    header = f"{key}-H 'content-type: application/json'"
    lines = [] if login is None else [f"export MIZZEN_API_KEY=$(cat {shlex.quote(str(login))})"]
    if case is not None:
        body = shlex.quote(json.dumps(case.body(), separators=(",", ":")))
        lines.append(f"curl -s {rest}/v1/endpoints/{case.endpoint}:predict {header} -d {body}")
    if collection is not None:
        asked = shlex.quote(json.dumps({"question": question or ANY_QUESTION}, ensure_ascii=False))
        lines.append(f"curl -s {rest}/v1/collections/{collection}:ask {header} -d {asked}")
    if case is not None:
        lines.append(f"curl -s {key}{rest}/v1/endpoints/{case.endpoint}/report")
        name = shlex.quote(json.dumps({"name": case.endpoint}))
        method = "mizzen.gateway.v1.EndpointService/GetEndpoint"
        lines.append(f"grpcurl -plaintext {key}-d {name} {grpc} {method}")
    else:
        lines.append(f"grpcurl -plaintext {key}{grpc} list")
    return lines


def look_lines(settings: Settings, case: Case | None, state: Path) -> list[str]:
    """Where to look next."""
    rest = f"http://{settings.here()}:{settings.gateway_rest_port}"
    ports = (
        settings.features_ops_port,
        settings.retrieval_ops_port,
        settings.monitoring_ops_port,
        settings.control_ops_port,
    )
    gateway = f"http://{settings.here()}:{settings.gateway_ops_port}/metrics"
    metrics = " ".join([gateway, *(f"http://127.0.0.1:{port}/metrics" for port in ports)])
    report = [("report", f"{rest}/v1/endpoints/{case.endpoint}/report (HTML in a browser)")] if case else []
    told: Sequence[tuple[str, str]] = [
        ("API", f"{rest}/docs"),
        ("admin", f"http://127.0.0.1:{settings.control_admin_port}/docs"),
        *report,
        ("metrics", metrics),
        ("logs", f"{state / 'logs'}"),
    ]
    return [f"  {name:<8} {where}" for name, where in told]


def _first(change: Any) -> float:
    return float(change[0] if isinstance(change, list) else change)
