"""What is generated from the models is committed as it is generated."""

from pathlib import Path

from catalog.crds import manifests

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_crds_are_what_the_models_generate() -> None:
    committed = {path.name: path.read_text() for path in (ROOT / "k8s/crds").glob("*.yaml")}
    assert committed == manifests(), "run `make crds`"
