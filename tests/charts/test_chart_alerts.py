"""The burn-rate alerts, played by promtool at the figures that are promised: they page for burn and not for blips."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import CHART, ROOT

RATE = 1000  # requests a second, so many that shares come out whole
FAST, SLOW = "MizzenErrorBudgetBurnsFast", "MizzenErrorBudgetBurnsSlowly"


@dataclass(frozen=True)
class Case:
    """`share` of requests fail for `lasts_s`; then (seconds after the start, alert, does it fire)."""

    name: str
    share: float
    lasts_s: int
    expected: tuple[tuple[int, str, bool], ...]
    grpc: bool = False
    idle: bool = False
    peace_s: int = 3600  # all is well before, for as long as the alert's long window
    step_s: int = 15


CASES = (
    Case("all fail: a page within a minute", 1.0, 3600, ((30, FAST, False), (75, FAST, True))),
    Case("all fail over gRPC: the same", 1.0, 3600, ((30, FAST, False), (75, FAST, True)), grpc=True),
    Case("a blip of 30 s is silent", 1.0, 30, ((45, FAST, False), (90, FAST, False), (600, FAST, False))),
    Case("a minute pages and clears in five", 1.0, 60, ((90, FAST, True), (400, FAST, False))),
    Case("5 % page within 18 minutes", 0.05, 7200, ((900, FAST, False), (1080, FAST, True))),
    Case("2 % page within 44 minutes", 0.02, 7200, ((2400, FAST, False), (2640, FAST, True))),
    Case(
        "0.7 % are a ticket within 5 h 10 min",
        0.007,
        8 * 3600,
        ((17_700, SLOW, False), (18_700, SLOW, True), (18_700, FAST, False)),
        peace_s=6 * 3600,
        step_s=60,
    ),
    Case(
        "0.05 % are silent",
        0.0005,
        8 * 3600,
        ((28_000, FAST, False), (28_000, SLOW, False)),
        peace_s=6 * 3600,
        step_s=60,
    ),
    Case("no traffic is silent", 0.0, 3600, ((1800, FAST, False), (3600, SLOW, False)), idle=True),
)


def series(case: Case, failed: bool) -> dict[str, str]:
    """A counter: peace, then the case, then peace."""
    steps, peace, step = case.lasts_s // case.step_s, case.peace_s // case.step_s, RATE * case.step_s
    calm = 0 if failed or case.idle else step
    grown = 0 if case.idle else round(step * (case.share if failed else 1 - case.share))
    begun = calm * peace
    done = begun + grown * steps
    values = f"0+{calm}x{peace} {begun + grown}+{grown}x{steps - 1} {done + calm}+{calm}x60"
    if case.grpc:
        code = "UNAVAILABLE" if failed else "OK"
        name = f'mizzen_chassis_server_seconds_count{{namespace="ml",job="gateway",method="/m/P",code="{code}"}}'
    else:
        name = f'mizzen_gateway_request_seconds_count{{namespace="ml",method="POST",path="/p",status="{500 if failed else 200}"}}'
    return {"series": name, "values": values}


def played(case: Case) -> dict[str, object]:
    """One of promtool's tests; ALERTS is what fires, whatever its annotations say."""
    checks = []
    for at, alert, fires in case.expected:
        expression = f"count by (namespace) (ALERTS{{alertname='{alert}',alertstate='firing'}})"
        samples = [{"labels": '{namespace="ml"}', "value": 1}] if fires else []
        checks.append({"expr": expression, "eval_time": f"{case.peace_s + at}s", "exp_samples": samples})
    both = [series(case, failed=False), series(case, failed=True)]
    return {"name": case.name, "interval": f"{case.step_s}s", "input_series": both, "promql_expr_test": checks}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on PATH (apt-get install prometheus); CI has it")
    return found


def play(promtool: str, directory: Path, tests: list[dict[str, object]], interval: str) -> None:
    """Fails where promtool sees an alert that it should not, or none."""
    (directory / "rules.yaml").write_text((CHART / "files/alerts/rules.yaml").read_text())
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": tests}
    (directory / "test.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=1000))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("step_s", sorted({case.step_s for case in CASES}))
def test_alerts_page_for_burn_and_not_for_blips(promtool: str, tmp_path: Path, step_s: int) -> None:
    play(promtool, tmp_path, [played(case) for case in CASES if case.step_s == step_s], f"{step_s}s")


def test_the_rules_are_right_by_promtool(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", "charts/mizzen/files/alerts/rules.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class KeyCase:
    """A gauge's values, a minute each; then (minutes after the start, does the alert fire)."""

    alert: str
    series: str
    values: str
    expected: tuple[tuple[int, bool], ...]


KEY_CASES = (
    KeyCase("MizzenApiKeyLineWrong", "mizzen_gateway_api_key_faults", "0x4 1x5 0x5", ((4, False), (7, True), (12, False))),
    KeyCase(
        "MizzenApiKeysUnreadable", "mizzen_gateway_api_keys_age_seconds", "1x4 61+60x3 0x5",
        ((4, False), (5, True), (10, False)),
    ),
)  # fmt: skip


def played_keys(case: KeyCase) -> dict[str, object]:
    """One of promtool's tests, beside an installation where all is well."""
    checks = []
    for minute, fires in case.expected:
        expression = f"count by (namespace) (ALERTS{{alertname='{case.alert}',alertstate='firing'}})"
        samples = [{"labels": '{namespace="ml"}', "value": 1}] if fires else []
        checks.append({"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples})
    both = [
        {"series": f'{case.series}{{namespace="ml",pod="gateway-1"}}', "values": case.values},
        {"series": f'{case.series}{{namespace="quiet",pod="gateway-1"}}', "values": "0x20"},
    ]
    return {"name": case.alert, "interval": "1m", "input_series": both, "promql_expr_test": checks}


def test_a_wrong_and_an_unreadable_key_file_are_told(promtool: str, tmp_path: Path) -> None:
    play(promtool, tmp_path, [played_keys(case) for case in KEY_CASES], "1m")


def cutting(name: str, a_minute: int, minutes: int, expected: tuple[tuple[int, bool], ...]) -> dict[str, object]:
    """One of promtool's tests: so many connections of two gateways are cut as floods, and a few for another reason all along."""
    peace, alive = 10, 30
    counted = "mizzen_chassis_public_connections_cut_total"
    checks = []
    for minute, fires in expected:
        expression = "count by (namespace, reason) (ALERTS{alertname='MizzenConnectionsCut',alertstate='firing'})"
        samples = [{"labels": '{namespace="ml", reason="flood"}', "value": 1}] if fires else []
        checks.append({"expr": expression, "eval_time": f"{peace + minute}m", "exp_samples": samples})
    each = a_minute // 2
    cut = f"0+0x{peace} {each}+{each}x{minutes - 1} {each * minutes}+0x{alive}"
    series = [
        *(
            {"series": f'{counted}{{namespace="ml",job="gateway",pod="{pod}",reason="flood"}}', "values": cut}
            for pod in ("gateway-1", "gateway-2")
        ),
        {
            "series": f'{counted}{{namespace="ml",job="gateway",pod="gateway-1",reason="slow_body"}}',
            "values": f"0+4x{peace + minutes + alive}",
        },
    ]
    return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": checks}


CUTTING = (
    cutting("twenty a minute: a ticket within ten minutes, silent six after", 20, 15, ((4, False), (10, True), (21, False))),
    cutting("a flood of two minutes that was dealt with is silent", 20, 2, ((3, False), (8, False), (12, False))),
    cutting("four a minute are silent", 4, 20, ((10, False), (19, False))),
)  # fmt: skip


def test_connections_that_are_cut_again_and_again_are_told(promtool: str, tmp_path: Path) -> None:
    play(promtool, tmp_path, list(CUTTING), "1m")


def shedding(name: str, share: float, minutes: int, expected: tuple[tuple[int, bool], ...]) -> dict[str, object]:
    """One of promtool's tests: `share` of requests are refused as overloaded for so long, after half an hour of calm."""
    step, peace = RATE * 60, 30
    labels = 'namespace="ml",job="gateway"'
    asked = f'mizzen_gateway_request_seconds_count{{{labels},path="/p",status="200"}}'
    refused = f'mizzen_gateway_shed_total{{{labels},reason="endpoint",endpoint="endpoint/late"}}'
    grown = round(step * share)
    checks = []
    for minute, fires in expected:
        expression = "count by (namespace) (ALERTS{alertname='MizzenShedsLoad',alertstate='firing'})"
        samples = [{"labels": '{namespace="ml"}', "value": 1}] if fires else []
        checks.append({"expr": expression, "eval_time": f"{peace + minute}m", "exp_samples": samples})
    both = [
        {"series": asked, "values": f"0+{step}x{peace + minutes + 60}"},
        {"series": refused, "values": f"0+0x{peace} {grown}+{grown}x{minutes - 1} {grown * minutes}+0x60"},
    ]
    return {"name": name, "interval": "1m", "input_series": both, "promql_expr_test": checks}


SHEDDING = (
    shedding("a third is refused: a ticket within 13 minutes, silent 7 after", 0.33, 60, ((9, False), (13, True), (67, False))),
    shedding("two minutes of overload are silent", 0.66, 2, ((2, False), (7, False), (15, False))),
    shedding("five in a thousand are silent", 0.005, 120, ((60, False), (119, False))),
)  # fmt: skip


def test_load_that_is_shed_for_long_is_told(promtool: str, tmp_path: Path) -> None:
    play(promtool, tmp_path, list(SHEDDING), "1m")
