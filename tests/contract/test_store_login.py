"""Every client of a Valkey with a password: read from a file at each connection, so that a rotated one is taken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from chassis.errors import MizzenError
from chassis.settings import StoreLogin
from features.adapters.valkey_online import ValkeyOnlineStore
from gateway.adapters.valkey.connection import connected
from monitoring.adapters.valkey_stream import ValkeyStream
from tests.engines import RunningValkey

pytestmark = pytest.mark.engines
Asks = Callable[[], Awaitable[object]]


@pytest.fixture
def admin(valkey_server: RunningValkey) -> Iterator[Redis]:
    """A connection that stays logged in while the password changes."""
    redis = Redis.from_url(valkey_server.url)
    yield redis
    redis.config_set("requirepass", valkey_server.password)
    redis.close()


@pytest.fixture
def nobody(valkey_server: RunningValkey) -> str:
    """The URL without a login."""
    return f"redis://127.0.0.1:{valkey_server.port}/0"


def rotate(admin: Redis, password: str) -> None:
    """Another password, and nobody connected any more."""
    admin.config_set("requirepass", password)
    for client in admin.client_list():
        if client["id"] != str(admin.client_id()):
            admin.client_kill_filter(_id=client["id"])


@asynccontextmanager
async def features(login: StoreLogin) -> AsyncIterator[Asks]:
    store = ValkeyOnlineStore(login.url, credentials=login.credentials)
    await store.start()
    yield lambda: store.read([b"{t}:k"], 1.0)
    await store.close()


@asynccontextmanager
async def gateway(login: StoreLogin) -> AsyncIterator[Asks]:
    redis = connected(login.url, 1.0, login.credentials)
    yield redis.ping
    await redis.aclose()


@asynccontextmanager
async def monitoring(login: StoreLogin) -> AsyncIterator[Asks]:
    stream = ValkeyStream(login.url, "a", block_ms=10, credentials=login.credentials)
    yield stream.ensure_group
    await stream.close()


async def comes(ask: Asks) -> None:
    end = asyncio.get_running_loop().time() + 5
    while True:
        try:
            await ask()
            return
        except (MizzenError, RedisError, OSError):
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("user", ["", "default@"])
@pytest.mark.parametrize("client", [features, gateway, monitoring])
async def test_the_password_is_the_files(
    admin: Redis, nobody: str, tmp_path: Path, client: Any, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "valkey.password"
    login = StoreLogin.of(nobody.replace("://", f"://{user}"), file)
    assert "@" not in login.url
    rotate(admin, "first/:@one")
    async with client(login) as ask:
        # Not there yet, then wrong: a refusal, and no end of trying.
        for wrong in (None, "wrong"):
            if wrong:
                file.write_text(wrong)
            with pytest.raises((MizzenError, RedisError, OSError)):
                await ask()
        file.write_text("first/:@one\n")
        await comes(ask)
        rotate(admin, "second")
        file.write_text("second")
        await comes(ask)
    assert "backward compatibility" not in caplog.text, "redis-py warns of itself at each connection"


@pytest.mark.parametrize("client", [features, gateway, monitoring])
async def test_without_a_file_the_url_says_all(admin: Redis, nobody: str, client: Any) -> None:
    rotate(admin, "p/w")
    async with client(StoreLogin.of(nobody.replace("://", "://:p%2Fw@"), None)) as ask:
        await comes(ask)
