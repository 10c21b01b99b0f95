"""A model package: a Triton repository with one model and a manifest of digests; sealed, verified, published once.

``<root>/<model>/config.pbtxt``, ``<root>/<model>/1/model.onnx``, ``<root>/<model>/package/manifest.json`` and what else
describes the model. A package's digest is the first 16 hex digits of what this prints in its root::

    LC_ALL=C find . -type f ! -path './*/package/manifest.json' -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2

from chassis.errors import DataLoss, InvalidArgument, NotFound

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# The backends that run data and never code of the package: Triton's `python` is not among them.
BACKENDS = frozenset({"onnxruntime", "sentence_embedding", "tensorrt", "openvino"})
SUFFIXES = frozenset(
    {".onnx", ".data", ".plan", ".xml", ".bin", ".pbtxt", ".json", ".txt", ".md", ".svg", ".png", ".csv"}
)
MANIFEST = "manifest.json"
DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package is: its model, digest (whole package), version (of the model's file) and files (path -> sha256)."""

    model: str
    backend: str
    digest: str
    version: str
    schema_hash: str
    files: Mapping[str, str]


def seal(root: Path) -> Manifest:
    """Writes the manifest of the package at ``root`` and returns it; the content is checked as in :func:`verify`."""
    manifest = _describe(root)
    path = root / manifest.model / "package" / MANIFEST
    path.parent.mkdir(exist_ok=True)
    content = {
        "format": 1,
        **{name: getattr(manifest, name) for name in ("model", "backend", "digest", "version", "schema_hash")},
        "files": manifest.files,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return manifest


def read_manifest(root: Path) -> Manifest:
    """The manifest as written, unchecked. Raises NotFound without one, InvalidArgument when it is not a manifest."""
    path = root / _model_folder(root).name / "package" / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise NotFound(f"{root} holds no sealed package: package/{MANIFEST} is missing.", reason="MANIFEST_MISSING")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != 1:
            raise ValueError("unknown format")
        fields = {name: str(content[name]) for name in ("model", "backend", "digest", "version", "schema_hash")}
        return Manifest(**fields, files={str(name): str(value) for name, value in content["files"].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"{path} is not a package manifest: {error}.", reason="MANIFEST_INVALID") from None


def verify(root: Path) -> Manifest:
    """Checks that the package at ``root`` is whole and safe to serve, and returns its manifest.

    Raises DataLoss when a file differs from the manifest, InvalidArgument for what is never served: symlinks, names out
    of the allow-list, formats other than ONNX or a named Triton backend, ONNX data outside of the package.
    """
    found, written = _describe(root), read_manifest(root)
    if found != written:
        changed = [
            path for path in sorted({*found.files, *written.files}) if found.files.get(path) != written.files.get(path)
        ]
        raise DataLoss(
            f"The package at {root} is not what its manifest says ({', '.join(changed[:5]) or 'manifest fields'}): "
            f"digest {found.digest}, manifest {written.digest}.",
            reason="DIGEST_MISMATCH",
        )
    return found


def digest(root: Path) -> str:
    """The digest of the package at ``root`` (16 hex digits); the manifest is not part of it."""
    return _digest(_file_digests(root, root))


def publish(root: Path, models: Path, name: str | None = None) -> Path:
    """Puts the sealed package at ``root`` under ``models/NAME/DIGEST`` and returns that path.

    ``models`` is the volume (``<state>/volumes/models``), ``name`` the model's by default. Published once and never
    changed: it appears whole by a rename, its files read-only; publishing the same again does nothing.
    """
    manifest = verify(root)
    destination = models / checked_name(name or manifest.model) / manifest.digest
    if destination.exists():
        verify(destination)
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{manifest.digest}-", dir=destination.parent) as scratch:
        copy = Path(scratch) / manifest.digest
        shutil.copytree(root, copy, symlinks=True)
        verify(copy)
        for path in copy.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o444)
        copy.chmod(0o755)
        try:
            copy.rename(destination)
        except OSError:  # another publisher was first: then the same content is there
            verify(destination)
    return destination


def check_repository(root: Path) -> tuple[str, ...]:
    """The names of the models in the Triton repository at ``root``, once all of it is safe to serve.

    A sealed package is verified against its manifest; another repository, of any number of models, has its names and
    formats checked. Raises as :func:`verify` does, NotFound when there is no model.
    """
    folders = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    if len(folders) == 1 and (folders[0] / "package" / MANIFEST).exists():
        return (verify(root).model,)
    if not folders:
        raise NotFound(f"{root} holds no model.", reason="PACKAGE_MISSING")
    for folder in folders:
        if folder.is_symlink() or not (folder / "config.pbtxt").is_file():
            raise InvalidArgument(f"{folder} is not a model: it has no config.pbtxt.", reason="PACKAGE_INVALID")
        _describe(root, folder)
    return tuple(checked_name(folder.name) for folder in folders)


def checked_name(name: str) -> str:
    """``name`` itself if it may name a model or a folder of models; raises InvalidArgument otherwise."""
    if not MODEL_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not a model name: {MODEL_NAME.pattern}.", reason="NAME_INVALID", field="name"
        )
    return name


def read_config(path: Path) -> Any:
    """The parsed config.pbtxt, as Triton's own message. Raises InvalidArgument with the line when it is not one."""
    try:
        empty = model_config_pb2.ModelConfig()  # type: ignore[attr-defined]  # built by protobuf at import
        return text_format.Parse(path.read_text(), empty)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} is not a model configuration: {error}.", reason="CONFIG_INVALID") from None


def _describe(root: Path, folder: Path | None = None) -> Manifest:
    """The manifest that the model in ``folder`` of ``root`` (its only one by default) deserves, everything checked."""
    folder = folder or _model_folder(root)
    files = _file_digests(root, folder)
    config = read_config(folder / "config.pbtxt")
    if config.name not in ("", folder.name):
        raise InvalidArgument(
            f"{folder}/config.pbtxt names the model {config.name!r}.", reason="CONFIG_INVALID", field="name"
        )
    backend = config.backend or {"onnxruntime_onnx": "onnxruntime", "tensorrt_plan": "tensorrt"}.get(
        config.platform, ""
    )
    _check_format(root, backend, files)
    main = f"{folder.name}/1/{config.default_model_filename or 'model.onnx'}"
    version = files.get(main) or _digest({path: value for path, value in files.items() if "/package/" not in path})
    stated = config.parameters["mizzen.version"].string_value if "mizzen.version" in config.parameters else version[:12]
    if stated != version[:12]:
        raise InvalidArgument(
            f"config.pbtxt states mizzen.version {stated}; {main} is {version[:12]}.",
            reason="CONFIG_INVALID",
            field="parameters",
        )
    return Manifest(
        model=folder.name,
        backend=backend,
        digest=_digest(files),
        version=version[:12],
        schema_hash=config.parameters["mizzen.schema_hash"].string_value
        if "mizzen.schema_hash" in config.parameters
        else "",
        files=files,
    )


def _model_folder(root: Path) -> Path:
    """The folder of the package's only model."""
    if not root.is_dir():
        raise NotFound(f"There is no model package at {root}.", reason="PACKAGE_MISSING")
    inside = sorted(root.iterdir())
    if len(inside) != 1 or inside[0].is_symlink() or not (inside[0] / "config.pbtxt").is_file():
        names = ", ".join(path.name for path in inside) or "nothing"
        raise InvalidArgument(
            f"A model package holds one folder with a config.pbtxt; {root} holds {names}.", reason="PACKAGE_INVALID"
        )
    checked_name(inside[0].name)
    return inside[0]


def _file_digests(root: Path, folder: Path) -> dict[str, str]:
    """Path in the package -> sha256 of each file under ``folder`` but the manifest, sorted."""
    paths = sorted(_files(root, folder))
    return {
        path: _sha256(root / path) for path in paths if not re.fullmatch(rf"[^/]+/package/{re.escape(MANIFEST)}", path)
    }


def _files(root: Path, folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        relative = path.relative_to(root).as_posix()
        mode = path.lstat().st_mode
        if not FILE_NAME.fullmatch(path.name):
            raise InvalidArgument(f"{relative!r} is not a name for a file of a package.", reason="NAME_INVALID")
        if stat.S_ISDIR(mode):
            yield from _files(root, path)
        elif stat.S_ISREG(mode):
            yield relative
        else:
            raise InvalidArgument(f"{relative} is neither a file nor a folder.", reason="PACKAGE_INVALID")


def _check_format(root: Path, backend: str, files: Mapping[str, str]) -> None:
    """Raises InvalidArgument unless everything in the package is data of a known format."""
    foreign = [path for path in files if Path(path).suffix not in SUFFIXES]
    if foreign:
        raise InvalidArgument(
            f"{foreign[0]} is of no format that is served.", reason="FORMAT_REFUSED", field=foreign[0]
        )
    if backend not in BACKENDS:
        raise InvalidArgument(
            f"Backend {backend!r} is not served; these are: {', '.join(sorted(BACKENDS))}.", reason="FORMAT_REFUSED"
        )
    for path in files:
        if path.endswith(".onnx"):
            _check_onnx(root, path)


def _check_onnx(root: Path, path: str) -> None:
    try:
        model = onnx.load(str(root / path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise InvalidArgument(f"{path} is not an ONNX file: {error}.", reason="FORMAT_REFUSED", field=path) from None
    if not model.graph.node:
        raise InvalidArgument(f"{path} is not an ONNX file: it has no graph.", reason="FORMAT_REFUSED", field=path)
    for tensor in onnx.external_data_helper._get_all_tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location" and not FILE_NAME.fullmatch(entry.value):
                raise InvalidArgument(
                    f"{path} keeps data at {entry.value!r}, outside of its folder.", reason="FORMAT_REFUSED", field=path
                )


def _digest(files: Mapping[str, str]) -> str:
    lines = "".join(f"{value}  {path}\n" for path, value in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:DIGEST_LENGTH]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
