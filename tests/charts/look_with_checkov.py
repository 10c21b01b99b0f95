"""`python -m tests.charts.look_with_checkov CHECKOV`: every preset as checkov sees it, against charts/checkov.yaml."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from tests.charts.rendering import PRESETS, ROOT, objects

REASONS = ROOT / "charts/checkov.yaml"


def main(checkov: str) -> int:
    """0 when each finding has its reason and each reason its finding."""
    reasons = yaml.safe_load(REASONS.read_text())
    with tempfile.TemporaryDirectory() as directory:
        for preset in PRESETS:
            (Path(directory) / f"{preset}.yaml").write_text(yaml.safe_dump_all(objects(preset)))
        words = ("--directory", directory, "--framework", "kubernetes", "--output", "json", "--compact", "--quiet")
        done = subprocess.run([checkov, *words, "--skip-download"], capture_output=True, text=True, check=False)
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    found = set(findings(told))
    used = {check for check, name in found if fnmatchcase(name, reasons.get(check, {}).get("objects", ""))}
    wrong = sorted(
        (check, name) for check, name in found if not fnmatchcase(name, reasons.get(check, {}).get("objects", ""))
    )
    for check, name in wrong:
        sys.stderr.write(f"{check}: {name}: {titles(told)[check]}\n")
    for check in sorted(set(reasons) - used):
        sys.stderr.write(f"{check}: nothing is found any more, its reason in {REASONS.name} can go\n")
    summary = told["summary"]
    sys.stdout.write(
        f"checkov {summary['checkov_version']}: {summary['resource_count']} objects of {len(PRESETS)} presets, "
        f"{summary['passed']} checks passed, {summary['failed']} excused by {len(reasons)} reasons\n"
    )
    return int(bool(wrong or set(reasons) - used or summary["parsing_errors"]))


def findings(told: dict[str, dict[str, list[dict[str, str]]]]) -> Iterator[tuple[str, str]]:
    """(check, Kind/name); checkov says Kind.namespace.name."""
    for each in told["results"]["failed_checks"]:
        kind, _, name = each["resource"].split(".", 2)
        yield each["check_id"], f"{kind}/{name}"


def titles(told: dict[str, dict[str, list[dict[str, str]]]]) -> dict[str, str]:
    return {each["check_id"]: each["check_name"] for each in told["results"]["failed_checks"]}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
