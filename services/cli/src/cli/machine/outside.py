"""What this machine knows beside the definitions: tables under its offline root, and model packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import Outside
from catalog.examine import Package, PackageTensor
from chassis.errors import MizzenError
from cli.machine.done import are_tables_made
from cli.machine.layout import Layout

MODELS = "models"
_TYPE = "TYPE_"


def known_outside(project: Path, layout: Layout) -> Outside:
    """For the examination of a project's definitions. Tables that the project's data.py makes anew anyhow aren't looked at."""
    from catalog.tables.duckdb_tables import DuckDBTables

    tables = DuckDBTables(layout.offline) if are_tables_made(project, layout) else None
    return Outside(all_services=True, one_server=True, tables=tables, packages=PackagesHere(project, layout.volumes))


@dataclass(frozen=True, slots=True)
class PackagesHere:
    """See catalog.examine.Packages: the volumes of this machine, and the project's own package that `mizzen up` publishes."""

    project: Path
    volumes: Path

    def at(self, storage_uri: str) -> Sequence[Package] | None:
        """See catalog.examine.Packages."""
        from inference import repository

        try:
            return _models(repository.locate(storage_uri, self.volumes))
        except MizzenError:
            own = self._own()
            is_own = own is not None and storage_uri == f"pvc://{MODELS}/{own[0]}/{own[1]}"
            return _models(self.project / "model") if is_own else None

    def digests(self, name: str) -> Sequence[str]:
        """See catalog.examine.Packages. Of a model that the project has no package of nothing can be told: others publish it."""
        own = self._own()
        if own is None or own[0] != name:
            return ()
        published = self.volumes / MODELS / name
        return [own[1], *sorted(each.name for each in published.glob("[0-9a-f]*") if each.is_dir())]

    def _own(self) -> tuple[str, str] | None:
        """(model, digest) of the project's package, as its manifest says."""
        from inference import packaging

        try:
            manifest = packaging.read_manifest(self.project / "model")
        except (MizzenError, OSError):
            return None
        return manifest.model, manifest.digest


def _models(root: Path) -> Sequence[Package] | None:
    """None where one of them can't be read: what is wrong with packages is said where they are published."""
    from inference.examine import read_config

    try:
        folders = sorted(each for each in root.iterdir() if (each / "config.pbtxt").is_file())
        return [_package(each, read_config(each / "config.pbtxt")) for each in folders] or None
    except (MizzenError, OSError):
        return None


def _package(folder: Path, config: Any) -> Package:
    has_rows = config.max_batch_size == 0
    versions = sorted(each.name for each in folder.iterdir() if each.name.isdigit())
    return Package(folder.name, _tensors(config.input, has_rows), _tensors(config.output, has_rows), versions)


def _tensors(tensors: Any, has_rows: bool) -> list[PackageTensor]:
    found = []
    for tensor in tensors:
        word = type(tensor).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[tensor.data_type].name
        datatype = word.removeprefix(_TYPE).replace("STRING", "BYTES")
        dims = list(tensor.dims)[1:] if has_rows else list(tensor.dims)
        found.append(PackageTensor(tensor.name, datatype, dims, bool(getattr(tensor, "optional", False))))
    return found
