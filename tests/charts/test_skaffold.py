"""skaffold.yaml builds the images that exist and sets values that exist."""

from typing import Any

import yaml

from tests.charts.rendering import ROOT, chart

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())


def test_every_artifact_has_its_dockerfile_and_its_base() -> None:
    artifacts = {each["image"]: each for each in CONFIG["build"]["artifacts"]}
    for artifact in artifacts.values():
        assert (ROOT / artifact["docker"]["dockerfile"]).is_file(), artifact["image"]
        text = (ROOT / artifact["docker"]["dockerfile"]).read_text()
        for needed in artifact.get("requires", []):
            assert needed["image"] in artifacts
            assert f"ARG {needed['alias']}" in text


def test_every_value_that_is_set_is_one_of_the_charts() -> None:
    (release,) = CONFIG["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    patched: dict[str, Any] = {}
    for profile in CONFIG["profiles"]:
        for patch in profile["patches"]:
            if patch["path"].endswith("valuesFiles"):
                assert all((ROOT / path).is_file() for path in patch["value"])
            else:
                patched |= patch["value"]
    assert {profile["name"] for profile in CONFIG["profiles"]} == {"dev", "cpu", "gpu"}
    for path, value in {**release["setValueTemplates"], **patched}.items():
        values: Any = "any" if str(value).startswith("{{") else value
        for step in reversed(path.split(".")):
            values = {step: values}
        chart().validate_schema(values)
