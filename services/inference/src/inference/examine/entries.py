"""The files under a folder of a package: plain files and folders with plain names, few and small enough, nothing linked."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from inference.examine.refusal import refusal

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# What other systems take for a device, whatever follows the dot: a package is copied to any machine.
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
MAX_FILES = 10_000
MAX_DEPTH = 6
MAX_BYTES = 64 * 2**30


def list_files(root: Path, folder: Path) -> dict[str, int]:
    """Path below ``root`` -> size in bytes of each file under ``folder``, sorted.

    Raises InvalidArgument for links (hard ones too), devices, pipes and sockets, for names that are no plain file names or differ
    by case only, and for more files, folders or bytes than a package has.
    """
    files: dict[str, int] = {}
    seen: dict[str, str] = {}
    for count, (path, status) in enumerate(_entries(root, folder, 1)):
        twin = seen.setdefault(path.lower(), path)
        if twin != path:
            raise refusal(
                path, f"{twin} differs from it by case only", reason="NAME_INVALID", mend="Rename one of the two"
            )
        if count >= MAX_FILES:
            raise refusal(folder.name, f"it holds more than {MAX_FILES} files and folders", reason="PACKAGE_TOO_LARGE")
        if stat.S_ISREG(status.st_mode):
            files[path] = status.st_size
    if sum(files.values()) > MAX_BYTES:
        raise refusal(folder.name, f"it holds more than {MAX_BYTES} bytes", reason="PACKAGE_TOO_LARGE")
    return dict(sorted(files.items()))


def check_kind(path: str, status: os.stat_result) -> None:
    """Raises InvalidArgument unless ``status`` is a folder's or that of a file with one name."""
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise refusal(
            path,
            f"{_kind(status.st_mode)} is neither a file nor a folder",
            reason="PACKAGE_INVALID",
            mend="Put the file itself in its place",
        )
    if status.st_nlink > 1:
        raise refusal(
            path,
            "a file with several names (hard links) can change from outside of the package",
            reason="PACKAGE_INVALID",
            mend="Copy the file instead of linking it",
        )


def check_file_name(path: str, name: str) -> None:
    """Raises InvalidArgument unless ``name`` is a plain file name."""
    if not FILE_NAME.fullmatch(name) or DEVICES.fullmatch(name) or name.endswith("."):
        raise refusal(
            ascii(path),
            "it is not a name for a file of a package",
            reason="NAME_INVALID",
            mend="Use letters, digits, hyphens, underscores and, but for the first and last one, dots; no device has the name",
        )


def _entries(root: Path, folder: Path, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(folder.iterdir()):
        relative = path.relative_to(root).as_posix()
        check_file_name(relative, path.name)
        status = path.lstat()
        check_kind(relative, status)
        if depth > MAX_DEPTH:
            raise refusal(relative, f"folders are nested deeper than {MAX_DEPTH}", reason="PACKAGE_INVALID")
        yield relative, status
        if stat.S_ISDIR(status.st_mode):
            yield from _entries(root, path, depth + 1)


def _kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")
