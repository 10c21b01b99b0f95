"""Packages that come as one file: what leaves the folder, or isn't a file, is refused and leaves nothing."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.errors import AlreadyExists, MizzenError, ResourceExhausted
from inference import packaging
from inference.archive import unpack
from tests.unit.inference.onnx_models import doubling

Entry = tuple[str, bytes, str]  # path, content, kind: file, link, hardlink or device


@pytest.fixture
def good(tmp_path: Path) -> list[Entry]:
    root = doubling(tmp_path / "package")
    packaging.seal(root)
    return [
        (path.relative_to(root).as_posix(), path.read_bytes(), "file") for path in root.rglob("*") if path.is_file()
    ]


def as_zip(path: Path, entries: list[Entry]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, kind in entries:
            info = zipfile.ZipInfo(name)
            modes = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "hardlink": stat.S_IFIFO, "device": stat.S_IFCHR}
            info.external_attr = (modes[kind] | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def as_tar(path: Path, entries: list[Entry]) -> Path:
    kinds = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    with tarfile.open(path, "w:gz") as archive:
        for name, content, kind in entries:
            info = tarfile.TarInfo(name)
            info.type = kinds[kind]
            if kind == "file":
                info.size = len(content)
            else:
                info.linkname = content.decode()
            archive.addfile(info, io.BytesIO(content))
    return path


WRITERS = [as_zip, as_tar]
Writer = Callable[[Path, list[Entry]], Path]


@pytest.mark.parametrize("write", WRITERS)
def test_a_package_comes_out_as_it_was(tmp_path: Path, good: list[Entry], write: Writer) -> None:
    manifest = unpack(write(tmp_path / "archive", good), tmp_path / "out")
    assert packaging.verify(tmp_path / "out") == manifest == packaging.read_manifest(tmp_path / "package")
    with pytest.raises(AlreadyExists):
        unpack(tmp_path / "archive", tmp_path / "out")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "entry",
    [
        ("../PWNED", b"x", "file"),
        ("doubling/../../PWNED", b"x", "file"),
        ("/tmp/PWNED", b"x", "file"),
        ("doubling//PWNED", b"x", "file"),
        ("..\\PWNED", b"x", "file"),
        ("C:PWNED", b"x", "file"),
        ("doubling/1/link.json", b"/etc/passwd", "link"),
        ("doubling/1/link.json", b"../../../PWNED", "hardlink"),
        ("doubling/1/null.json", b"", "device"),
        ("doubling/config.pbtxt", b"twice", "file"),
        ("doubling/config.pbtxt/under.json", b"{}", "file"),
        ("doubling/1/model.pkl", b"x", "file"),
        ("doubling/1/unlisted.json", b"{}", "file"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_package_leaves_nothing(tmp_path: Path, good: list[Entry], write: Writer, entry: Entry) -> None:
    archive = write(tmp_path / "archive", [*good, entry])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(MizzenError):
        unpack(archive, tmp_path / "out")
    assert set(tmp_path.rglob("*")) == before
    assert not Path("/tmp/PWNED").exists()


@pytest.mark.parametrize("write", WRITERS)
def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path, write: Writer) -> None:
    archive = write(tmp_path / "archive", [("doubling/1/model.data", bytes(20_000_000), "file")])
    assert archive.stat().st_size < 100_000
    with pytest.raises(ResourceExhausted):
        unpack(archive, tmp_path / "out", max_bytes=5_000_000)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"neither zip nor tar", b"PK\x03\x04 torn", b"\x1f\x8b\x08 torn"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(MizzenError):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert not (tmp_path / "out").exists()
