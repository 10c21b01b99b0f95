"""Passwords of the engines: made once, in files that only their owner reads, and never on a command line."""

import os
import secrets
from pathlib import Path

from cli.machine.layout import PRIVATE


def password_file(path: Path) -> Path:
    """The file with a password, made (0600) where there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(24) + "\n")
    return path
