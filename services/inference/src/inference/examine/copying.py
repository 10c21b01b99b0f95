"""A private copy of a folder: what is examined afterwards is what is served, whoever writes to the original meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from inference.examine.entries import MAX_BYTES, MAX_DEPTH, MAX_FILES, check_file_name, check_kind
from inference.examine.refusal import refusal

_PIECE = 2**20


def copy_tree(source: Path, target: Path) -> None:
    """Copies the folder ``source`` into the new folder ``target``; on any fault nothing of it is left.

    Follows no link: each folder and file is opened from its parent's descriptor, and what was opened is what is looked at. Raises
    InvalidArgument for what :func:`inference.examine.entries.list_files` refuses, OSError when a disk fails.
    """
    target.mkdir()
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _Copy().folder(descriptor, target, "", 0)
        finally:
            os.close(descriptor)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


class _Copy:
    def __init__(self) -> None:
        self.entries = 0
        self.left = MAX_BYTES

    def folder(self, descriptor: int, target: Path, path: str, depth: int) -> None:
        for name in sorted(os.listdir(descriptor)):
            inside = f"{path}{name}"
            check_file_name(inside, name)
            self.entries += 1
            if depth > MAX_DEPTH or self.entries > MAX_FILES:
                raise refusal(inside, "the package has too many files or folders", reason="PACKAGE_TOO_LARGE")
            check_kind(inside, os.stat(name, dir_fd=descriptor, follow_symlinks=False))
            try:
                # Non-blocking: a pipe that took the file's place meanwhile would hold the open for ever.
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                    raise
                raise refusal(inside, "it changed while it was read", reason="PACKAGE_INVALID") from None
            try:
                self._opened(opened, target / name, inside, depth)
            finally:
                os.close(opened)

    def _opened(self, opened: int, target: Path, path: str, depth: int) -> None:
        status = os.fstat(opened)
        check_kind(path, status)
        if stat.S_ISDIR(status.st_mode):
            target.mkdir()
            self.folder(opened, target, f"{path}/", depth + 1)
            return
        with target.open("xb") as file:
            while piece := os.read(opened, _PIECE):
                self.left -= len(piece)
                if self.left < 0:
                    raise refusal(path, f"the package holds more than {MAX_BYTES} bytes", reason="PACKAGE_TOO_LARGE")
                file.write(piece)
