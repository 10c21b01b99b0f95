"""Model packages: from a project's `model/` folder to the immutable path that an InferenceService names."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog import Catalog
from chassis.errors import MizzenError

MODELS = "models"


@dataclass(frozen=True, slots=True)
class Served:
    """What one tritonserver is to serve: repository roots, and a line for each model or definition that is left out."""

    roots: tuple[Path, ...]
    fingerprint: str
    left_out: tuple[str, ...]


def publish(
    project: Path, catalog: Catalog, volumes: Path, triton_venv: Path, allow_code: Collection[str] = ()
) -> Served:
    """Publish the project's committed package and, where it is named, the embedding model; say what is served.

    `allow_code` names the models that may run code; it lets in what InferenceServices name, not the project's own package.
    A package whose schema hash is not its endpoint's stays unpublished: it was trained for other features.
    """
    from inference import minilm, repository

    models = volumes / MODELS
    models.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    uris = [service.storage_uri for service in catalog.inference_services.values()]
    if any(uri.startswith(f"pvc://{MODELS}/{minilm.NAME}/") for uri in uris):
        minilm.write_minilm_package(triton_venv, models)
    if (project / "model").is_dir():
        left_out += _publish_committed(project / "model", catalog, models)
    plan = repository.plan_serving(catalog.inference_services.values(), volumes, allow_code)
    left_out += [f"InferenceService {refused.name}: {refused.error}" for refused in plan.refused]
    return Served(tuple(plan.roots), ",".join(map(str, plan.roots)), tuple(left_out))


def _publish_committed(root: Path, catalog: Catalog, models: Path) -> Iterable[str]:
    from inference import packaging

    try:
        manifest = packaging.verify(root)
    except MizzenError as error:
        return [f"{root}: {error}"]
    try:
        wanted = {
            name: catalog.schema_hash(name)
            for name, endpoint in catalog.endpoints.items()
            if manifest.model in {route.model for route in endpoint.spec.traffic.routes}
        }
    except KeyError as error:  # an endpoint of a column that does not exist
        return [f"{root} is not published: {error.args[0]}"]
    other = [name for name, schema in wanted.items() if manifest.schema_hash and schema != manifest.schema_hash]
    if other:
        return [
            f"{root} was trained for other features than Endpoint {other[0]} has now "
            f"(schema {manifest.schema_hash}, now {wanted[other[0]]}): train it anew with make train"
        ]
    packaging.publish(root, models)
    return []
