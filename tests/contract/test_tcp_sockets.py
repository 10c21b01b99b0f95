"""The connections of a port as the kernel knows them: who is told of what comes, who is kept out, and when nobody looks."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from chassis.public.guard import FLOOD, Bounds, EdgeGuard
from chassis.public.tcp_sockets import Address, TcpSockets, Traffic


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as made:
        yield made


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


class Counted(TcpSockets):
    """Counts its looks and says when nobody looks."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.resting = asyncio.Event()
        self.looked = asyncio.Event()

    def look(self) -> Mapping[Address, Traffic]:
        self.looked.set()
        return super().look()

    @contextmanager
    def watched(self, moved: Callable[[], None]) -> Iterator[None]:
        with super().watched(moved):
            self.looked.clear()
            self.resting.set()
            yield


@pytest.mark.parametrize("connects", [True, False])
async def test_who_watches_is_told_of_bytes_and_of_connections_and_of_nothing_else(*, connects: bool) -> None:
    with listening() as listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0]:
        sockets, told = TcpSockets(port_of(listener)), asyncio.Event()
        sockets.look()
        with sockets.watched(told.set), socket.socket() as another:
            for _ in range(100):
                await asyncio.sleep(0)
            assert not told.is_set()
            if connects:
                another.connect(listener.getsockname())
            else:
                client.send(b"x")
            async with asyncio.timeout(5):
                await told.wait()


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_hosts_that_are_refused_cannot_connect_and_others_can(host: str, address: str) -> None:
    others = [f"10.0.0.{each}" for each in range(20)] + [f"fe80::{each}" for each in range(20)]
    with listening(host) as listener:
        sockets = TcpSockets(port_of(listener))
        sockets.look()

        def reached() -> bool:
            try:
                socket.create_connection((address, port_of(listener)), timeout=0.2).close()
            except TimeoutError:
                return False
            return True

        for hosts, expected in ((others, True), ([*others, address], False), ([], True)):
            sockets.refuse(hosts)
            assert reached() == expected


async def test_a_guard_rests_while_nothing_comes_and_ends_a_flood_all_the_same() -> None:
    loop = asyncio.get_running_loop()
    with listening() as listener, socket.create_connection(listener.getsockname()) as client:
        accepted = listener.accept()[0]
        with accepted:
            for each in (client, accepted):
                each.setblocking(False)
            reasons: list[str] = []
            sockets = Counted(port_of(listener))
            guard = EdgeGuard(Bounds(), reasons.append, knows_readers=True)
            watching = asyncio.create_task(guard.run(sockets))
            async with asyncio.timeout(10):
                await sockets.resting.wait()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):  # five looks, if it did not rest
                        await sockets.looked.wait()
                sending = asyncio.create_task(loop.sock_sendall(client, bytes(32 << 20)))
                while not reasons:
                    await loop.sock_recv(accepted, 1 << 20)
            assert reasons == [FLOOD]
            for task in (watching, sending):
                task.cancel()
            await asyncio.gather(watching, sending, return_exceptions=True)
