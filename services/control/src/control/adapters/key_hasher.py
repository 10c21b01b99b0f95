"""Keys and hashes of this installation."""

import hmac
from pathlib import Path

from chassis.api_keys import key_hash, new_key


class KeyHasher:
    """See ports.Hasher. Both files are read when they are needed: a rotated one needs no restart."""

    def __init__(self, secret_file: Path, admin_key_file: Path | None) -> None:
        """admin_key_file: holds the installation's own admin key as it is; None: there is none."""
        self._secret_file, self._admin_key_file = secret_file, admin_key_file

    def new_key(self) -> str:
        return new_key()

    def hash(self, key: str) -> str:
        return key_hash(bytes.fromhex(self._secret_file.read_text(encoding="ascii").strip()), key)

    def is_admins(self, key: str) -> bool:
        if self._admin_key_file is None:
            return False
        try:
            own = self._admin_key_file.read_bytes().strip()
        except OSError:
            return False  # keys of the database still count
        return bool(own) and hmac.compare_digest(own, key.encode())
