"""InferenceServices → the repositories of one tritonserver."""

from pathlib import Path

import pytest

from catalog import InferenceService
from inference import packaging
from inference.repository import plan_serving
from tests.unit.inference.onnx_models import doubling


def service(name: str, uri: str) -> InferenceService:
    return InferenceService.model_validate(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "triton"}, "storageUri": uri}}},
        }
    )


def published(tmp_path: Path, model: str) -> str:
    root = doubling(tmp_path / f"build-{model}", model)
    packaging.seal(root)
    return packaging.publish(root, tmp_path / "volumes" / "models").relative_to(tmp_path / "volumes").as_posix()


def test_services_become_repositories_in_a_stable_order(tmp_path: Path) -> None:
    a, b = published(tmp_path, "a"), published(tmp_path, "b")
    services = [service("second", f"pvc://{b}"), service("first", f"pvc://{a}/"), service("shared", f"pvc://{a}")]
    plan = plan_serving(services, tmp_path / "volumes")
    assert plan == plan_serving(reversed(services), tmp_path / "volumes")
    assert [(each.models, each.services) for each in plan.repositories] == [
        (("a",), ("first", "shared")),
        (("b",), ("second",)),
    ]
    assert plan.roots == [tmp_path / "volumes" / a, tmp_path / "volumes" / b]
    assert not plan.refused


def test_a_model_name_is_served_once(tmp_path: Path) -> None:
    first = published(tmp_path, "a")
    doubling(tmp_path / "volumes" / "models" / "copy", "a")
    plan = plan_serving([service("one", f"pvc://{first}"), service("two", "pvc://models/copy")], tmp_path / "volumes")
    assert [each.services for each in plan.repositories] == [("one",)]
    (refused,) = plan.refused
    assert (refused.name, refused.error.reason) == ("two", "MODEL_DUPLICATE")
    assert "already served by InferenceService one" in str(refused.error)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pvc://models/none", "STORAGE_MISSING"),
        ("s3://bucket/model", "STORAGE_UNSUPPORTED"),
        ("pvc://../volumes", "STORAGE_INVALID"),
        ("pvc://models/../../etc", "STORAGE_INVALID"),
        ("pvc:///etc", "STORAGE_INVALID"),
        ("pvc://models/out", "STORAGE_INVALID"),
        ("pvc://models/empty", "PACKAGE_MISSING"),
        ("pvc://models/damaged", "DIGEST_MISMATCH"),
    ],
)
def test_a_bad_one_is_refused_in_words_and_the_others_are_served(tmp_path: Path, uri: str, reason: str) -> None:
    good = published(tmp_path, "a")
    models = tmp_path / "volumes" / "models"
    (models / "empty").mkdir()
    (models / "out").symlink_to("/etc")
    packaging.seal(doubling(models / "damaged", "b"))
    (models / "damaged/b/config.pbtxt").write_text((models / "damaged/b/config.pbtxt").read_text() + "\n")
    plan = plan_serving([service("bad", uri), service("good", f"pvc://{good}")], tmp_path / "volumes")
    assert [each.services for each in plan.repositories] == [("good",)]
    assert [(each.name, each.error.reason) for each in plan.refused] == [("bad", reason)]
