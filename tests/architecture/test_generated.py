"""What is generated from the models is committed as it is generated."""

import subprocess
import sys
from pathlib import Path

import yaml

from catalog.crds import manifests

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_crds_are_what_the_models_generate() -> None:
    committed = {path.name: path.read_text() for path in (ROOT / "k8s/crds").glob("*.yaml")}
    assert committed == manifests(), "run `make crds`"


def test_hooks_run_what_ci_runs() -> None:
    config = ROOT / ".pre-commit-config.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", str(config)], check=True)
    (checked,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("check:")]
    hooks = [hook for repo in yaml.safe_load(config.read_text())["repos"] for hook in repo["hooks"]]
    targets = {hook["entry"].removeprefix("make ") for hook in hooks if hook["entry"].startswith("make ")}
    assert targets >= {"lint", "types", "imports", "protos-check"}
    assert targets <= set(checked.split())
