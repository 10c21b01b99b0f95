"""One model's folder: which file may lie where, and what each has to be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.errors import InvalidArgument
from inference.examine import documents, formats
from inference.examine.bounded import read_onnx
from inference.examine.config import check_config, read_config
from inference.examine.entries import list_files
from inference.examine.fields import MAX_VERSIONS, PLATFORMS
from inference.examine.refusal import FOREIGN_NAME, checked_name, may_run_code, refusal

CONFIG = "config.pbtxt"
MANIFEST = "manifest.json"
PACKAGE = "package"
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_DESCRIBES: Mapping[str, Callable[[Path, str], None]] = {**documents.CHECKS, ".png": formats.check_png}


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """What was found: ``files`` are path below the repository -> sha256, the manifest left out.

    ``main`` is the path of version 1's model file (which may be missing). ``runs_code``: an operator's `allowCode` names this
    model, so that only names and kinds of its files were looked at.
    """

    name: str
    backend: str
    config: Any
    main: str
    files: Mapping[str, str]
    runs_code: bool


def examine_model(root: Path, name: str, allow_code: Collection[str] = ()) -> ExaminedModel:
    """Reads the model in the folder ``name`` of the repository ``root``.

    ``allow_code`` are the models that an operator trusts with code. Raises InvalidArgument with the file, the field and the mend
    for whatever a package may not hold.
    """
    if name in allow_code and FOREIGN_NAME.fullmatch(name):
        return _trusted(root, name)
    checked_name(name)
    sizes = list_files(root, root / name)
    if f"{name}/{CONFIG}" not in sizes:
        raise refusal(name, "it is not a model: it has no config.pbtxt", reason="PACKAGE_INVALID")
    config = read_config(root / name / CONFIG)
    try:
        backend = check_config(config, f"{name}/{CONFIG}", name)
        _Contents(root, name, backend, config, sizes).check()
    except InvalidArgument as error:
        raise may_run_code(error, name) from None
    return ExaminedModel(name, backend, config, _main(name, backend, config), _digests(root, name, sizes), False)


def _trusted(root: Path, name: str) -> ExaminedModel:
    sizes = list_files(root, root / name)
    if f"{name}/{CONFIG}" not in sizes:
        raise refusal(name, "it is not a model: it has no config.pbtxt", reason="PACKAGE_INVALID")
    config = read_config(root / name / CONFIG)
    if config.name not in ("", name):
        raise refusal(f"{name}/{CONFIG}", f"it names the model {config.name!r}", field="name")
    backend = config.backend or PLATFORMS.get(config.platform, config.platform)
    return ExaminedModel(name, backend, config, _main(name, backend, config), _digests(root, name, sizes), True)


class _Contents:
    """Every file has one reason to be there; what has none is refused."""

    def __init__(self, root: Path, name: str, backend: str, config: Any, sizes: Mapping[str, int]) -> None:
        self.root, self.name, self.backend, self.sizes = root, name, backend, sizes
        self.config = config
        self.labels = {f"{name}/{tensor.label_filename}" for tensor in config.output if tensor.label_filename}
        self.known: set[str] = {f"{name}/{CONFIG}"}

    def check(self) -> None:
        for path in self.sizes:
            formats.refuse_disguised(self.root, path)
        versions = sorted({path.split("/")[1] for path in self.sizes if path.count("/") > 1} - {PACKAGE})
        for version in versions:
            if not _VERSION.fullmatch(version):
                raise refusal(f"{self.name}/{version}", "a model has folders of numbers (its versions) and package")
        if not 0 < len(versions) <= MAX_VERSIONS:
            raise refusal(
                self.name, f"it has {len(versions)} versions, not 1 to {MAX_VERSIONS}", mend="Add the folder 1"
            )
        for version in versions:
            self._version(f"{self.name}/{version}")
        for path in self.sizes:
            if path.startswith(f"{self.name}/{PACKAGE}/"):
                self._read(path, _DESCRIBES.get(Path(path).suffix))
            elif path in self.labels:
                self._read(path, documents.check_text)
        self._nothing_else()

    def _version(self, folder: str) -> None:
        main = f"{folder}/{_main_name(self.backend, self.config)}"
        if f"{main}/model.onnx" in self.sizes and self.backend == "onnxruntime":
            main = f"{main}/model.onnx"  # a folder of that name, with its external data beside it
        if main not in self.sizes:
            raise refusal(main, "the model's file is missing", reason="PACKAGE_INVALID", mend="Put it there")
        self.known.add(main)
        self.known |= read_onnx(self.root, main, self.sizes)
        if self.backend == "sentence_embedding":
            tokenizer = f"{folder}/tokenizer.json"
            if tokenizer not in self.sizes:
                raise refusal(tokenizer, "the tokenizer is missing", reason="PACKAGE_INVALID", mend="Put it there")
            self._read(tokenizer, documents.check_tokenizer, documents.MAX_TOKENIZER_BYTES)
        for path in self.sizes:
            if path.startswith(f"{folder}/") and path.endswith(".safetensors"):
                formats.check_safetensors(self.root, path)
                self.known.add(path)

    def _read(
        self, path: str, check: Callable[[Path, str], None] | None, most: int = documents.MAX_DOCUMENT_BYTES
    ) -> None:
        if check is None:
            kinds = ", ".join(sorted(_DESCRIBES))
            raise refusal(path, "it is of no format that a package holds", mend=f"Beside the model these are: {kinds}")
        if self.sizes[path] > most:
            raise refusal(path, f"it is larger than {most} bytes")
        check(self.root, path)
        self.known.add(path)

    def _nothing_else(self) -> None:
        for path in self.sizes:
            if path not in self.known:
                raise refusal(
                    path,
                    f"nothing that backend {self.backend} reads and nothing that describes the model has this place",
                    mend="Remove it, or put what describes the model into its folder package",
                )
        for label in sorted(self.labels - self.known):
            raise refusal(label, "a label_filename names it, and it is missing", mend="Put it there")


def _main_name(backend: str, config: Any) -> str:
    return "model.onnx" if backend == "sentence_embedding" else config.default_model_filename or "model.onnx"


def _main(name: str, backend: str, config: Any) -> str:
    return f"{name}/1/{_main_name(backend, config)}"


def _digests(root: Path, name: str, sizes: Mapping[str, int]) -> dict[str, str]:
    return {path: _sha256(root / path) for path in sizes if path != f"{name}/{PACKAGE}/{MANIFEST}"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
