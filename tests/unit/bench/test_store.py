"""A benchmark's Valkey is no open door on the machine that measures."""

from pathlib import Path

import pytest
import redis

from bench.features import memory, start_valkey
from bench.processes import Processes


@pytest.mark.engines
def test_it_has_a_password(tmp_path: Path) -> None:
    with Processes() as processes:
        store = start_valkey(processes, tmp_path / "valkey")
        assert memory(store) > 0
        assert store.password not in store.url
        assert store.password_file.stat().st_mode & 0o077 == 0
        with redis.Redis(port=store.port) as nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
