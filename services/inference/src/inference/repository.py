"""What a set of InferenceServices means on one machine: the repositories and models that one tritonserver is to serve."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog import InferenceService
from chassis.errors import AlreadyExists, InvalidArgument, MizzenError, NotFound
from inference import packaging
from inference.examine import FILE_NAME

SCHEME = "pvc://"


@dataclass(frozen=True, slots=True)
class ServedRepository:
    """A Triton repository root, the models in it and the InferenceServices that point to it."""

    root: Path
    models: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedService:
    """An InferenceService that can't be served here, and why."""

    name: str
    error: MizzenError


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """Everything to serve, in a stable order, and what was refused; one bad definition leaves the others served."""

    repositories: tuple[ServedRepository, ...]
    refused: tuple[RefusedService, ...]

    @property
    def roots(self) -> list[Path]:
        """The roots, as tritonserver takes them."""
        return [repository.root for repository in self.repositories]


def plan_serving(services: Iterable[InferenceService], volumes: Path, allow_code: Collection[str] = ()) -> ServingPlan:
    """The plan for ``services``; packages are verified here, before anything is loaded.

    Two services may share a root. A model name that another root has already is refused: one tritonserver serves a name once.
    The service first by name keeps it. ``allow_code`` are the models that the operator trusts with code.
    """
    served: dict[Path, ServedRepository] = {}
    refused: list[RefusedService] = []
    for service in sorted(services, key=lambda each: each.name):
        try:
            root = locate(service.storage_uri, volumes)
            known = served.get(root)
            models = (
                known.models if known else packaging.check_repository(root, allow_code, packaging.stated_digest(root))
            )
            if not known:
                _refuse_duplicates(models, served)
            served[root] = ServedRepository(root, models, (*(known.services if known else ()), service.name))
        except MizzenError as error:
            refused.append(RefusedService(service.name, error))
    return ServingPlan(tuple(served.values()), tuple(refused))


def locate(storage_uri: str, volumes: Path) -> Path:
    """The folder that ``pvc://CLAIM/PATH`` means under ``volumes``. Raises InvalidArgument or NotFound."""
    if not storage_uri.startswith(SCHEME):
        raise InvalidArgument(
            f"{storage_uri} can't be served on one machine: put the model under {volumes}/CLAIM/PATH and name it "
            f"{SCHEME}CLAIM/PATH.",
            reason="STORAGE_UNSUPPORTED",
            field="spec.predictor.model.storageUri",
        )
    parts = storage_uri.removeprefix(SCHEME).rstrip("/").split("/")
    if not all(FILE_NAME.fullmatch(part) for part in parts):
        raise InvalidArgument(
            f"{storage_uri} is not {SCHEME}CLAIM/PATH.",
            reason="STORAGE_INVALID",
            field="spec.predictor.model.storageUri",
        )
    root = volumes.joinpath(*parts)
    if not root.resolve().is_relative_to((volumes / parts[0]).resolve()):
        raise InvalidArgument(
            f"{storage_uri} leaves its volume.", reason="STORAGE_INVALID", field="spec.predictor.model.storageUri"
        )
    if not root.is_dir():
        raise NotFound(
            f"{storage_uri} means {root}, which does not exist.",
            reason="STORAGE_MISSING",
            field="spec.predictor.model.storageUri",
        )
    return root


def _refuse_duplicates(models: Iterable[str], served: dict[Path, ServedRepository]) -> None:
    for model in models:
        for other in served.values():
            if model in other.models:
                raise AlreadyExists(
                    f"Model {model} is already served by InferenceService {', '.join(other.services)} from {other.root}; one "
                    "machine serves a model name once.",
                    reason="MODEL_DUPLICATE",
                    ids={"model": model},
                )
