"""A model package: a Triton repository with one model and a manifest of digests; sealed, verified, published once.

``<root>/<model>/config.pbtxt``, ``<root>/<model>/1/model.onnx``, ``<root>/<model>/package/manifest.json`` and what else
describes the model; ``inference.examine`` says what a package may hold. A package's digest is the first 16 hex digits of what
this prints in its root::

    LC_ALL=C find . -type f ! -path './*/package/manifest.json' -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from chassis.errors import DataLoss, InvalidArgument, NotFound
from inference.examine import MANIFEST, ExaminedModel, checked_name, copy_tree, examine_model

DIGEST_LENGTH = 16
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_LENGTH}}}")


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

    Raises DataLoss when a file differs from the manifest, InvalidArgument for what no package holds (``inference.examine``).
    """
    return _sealed(root, _describe(root))


def digest(root: Path) -> str:
    """The digest of the package at ``root`` (16 hex digits); the manifest is not part of it."""
    return _describe(root).digest


def stated_digest(root: Path) -> str:
    """The digest that the path of a published package ends with; empty for another path."""
    return root.name if _DIGEST.fullmatch(root.name) else ""


def publish(root: Path, models: Path, name: str | None = None) -> Path:
    """Puts the sealed package at ``root`` under ``models/NAME/DIGEST`` and returns that path.

    ``models`` is the volume (``<state>/volumes/models``), ``name`` the model's by default. Published once and never
    changed: it appears whole by a rename, its files read-only; publishing the same again does nothing. A package that changes
    while it is copied is refused, as the copy is what is examined.
    """
    manifest = verify(root)
    destination = models / checked_name(name or manifest.model) / manifest.digest
    if is_published(destination):
        return _verified_copy(destination, manifest)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{manifest.digest}-", dir=destination.parent) as scratch:
        copy = Path(scratch) / manifest.digest
        copy_tree(root, copy)
        _verified_copy(copy, manifest)
        _set_in_stone(copy)
        try:
            copy.rename(destination)
        except OSError:  # another publisher was first: then the same content is there
            _verified_copy(destination, manifest)
    return destination


def is_published(destination: Path) -> bool:
    """Whether anything was published there. A kubelet makes an empty folder when a predictor mounts the path before that."""
    return destination.is_dir() and any(destination.iterdir())


def check_repository(root: Path, allow_code: Collection[str] = (), digest: str = "") -> tuple[str, ...]:
    """The names of the models in the Triton repository at ``root``; arguments and errors as :func:`examine_repository`."""
    return tuple(model.name for model in examine_repository(root, allow_code, digest))


def examine_repository(root: Path, allow_code: Collection[str] = (), digest: str = "") -> tuple[ExaminedModel, ...]:
    """The models in the Triton repository at ``root``, once all of it is safe to serve.

    A sealed package is verified against its manifest; another repository, of any number of models, has each of them examined.
    ``allow_code`` names the models that an operator trusts with code. Where ``digest`` is given, the repository has to be the
    sealed package of that digest. Raises as :func:`verify` does, NotFound when there is no model.
    """
    folders = sorted(root.iterdir())
    if not folders:
        raise NotFound(f"{root} holds no model.", reason="PACKAGE_MISSING")
    for folder in folders:
        if folder.is_symlink() or not (folder / "config.pbtxt").is_file():
            raise InvalidArgument(f"{folder} is not a model: it has no config.pbtxt.", reason="PACKAGE_INVALID")
    if not digest and not (len(folders) == 1 and (folders[0] / "package" / MANIFEST).exists()):
        return tuple(examine_model(root, folder.name, allow_code) for folder in folders)
    found = examine_model(root, _model_folder(root).name, allow_code)
    sealed = _sealed(root, _deserved(found))
    if digest not in ("", sealed.digest):
        raise _changed(root, f"the digest {sealed.digest}, and its address says {digest}")
    return (found,)


def _set_in_stone(copy: Path) -> None:
    """Files become read-only and are on the disk before anything points to them."""
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o444)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sealed(root: Path, found: Manifest) -> Manifest:
    written = read_manifest(root)
    if found != written:
        changed = [
            path for path in sorted({*found.files, *written.files}) if found.files.get(path) != written.files.get(path)
        ]
        raise _changed(
            root,
            f"other content than its manifest says ({', '.join(changed[:5]) or 'manifest fields'}): digest {found.digest}, "
            f"manifest {written.digest}",
        )
    return found


def _changed(root: Path, what: str) -> DataLoss:
    return DataLoss(f"The package at {root} has {what}. Publish it anew.", reason="DIGEST_MISMATCH")


def _verified_copy(copy: Path, manifest: Manifest) -> Path:
    found = verify(copy)
    if found != manifest:
        raise _changed(copy, f"the digest {found.digest}, and {manifest.digest} was to be published")
    return copy


def _describe(root: Path) -> Manifest:
    """The manifest that the package at ``root`` deserves, everything checked."""
    return _deserved(examine_model(root, _model_folder(root).name))


def _deserved(found: ExaminedModel) -> Manifest:
    version = (
        found.files.get(found.main)
        or _digest({path: value for path, value in found.files.items() if "/package/" not in path})
    )[:12]
    parameters = found.config.parameters
    stated = parameters["mizzen.version"].string_value if "mizzen.version" in parameters else version
    if stated != version:
        raise InvalidArgument(
            f"config.pbtxt states mizzen.version {stated}; {found.main} is {version}.",
            reason="CONFIG_INVALID",
            field="parameters[mizzen.version]",
        )
    return Manifest(
        model=found.name,
        backend=found.backend,
        digest=_digest(found.files),
        version=version,
        schema_hash=parameters["mizzen.schema_hash"].string_value if "mizzen.schema_hash" in parameters else "",
        files=found.files,
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
    return inside[0]


def _digest(files: Mapping[str, str]) -> str:
    lines = "".join(f"{value}  {path}\n" for path, value in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:DIGEST_LENGTH]
