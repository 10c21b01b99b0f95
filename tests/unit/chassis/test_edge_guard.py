"""What ends a connection of the public gRPC port, and what does not."""

import math
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

import grpc
import pytest
from grpc import aio

from chassis.errors import ResourceExhausted, Unavailable
from chassis.public.calls import Edge, remade
from chassis.public.crowds import leavers, network
from chassis.public.guard import CONNECTIONS, FLOOD, HELD, SLOW_BODY, UNREAD_ANSWER, Bounds, EdgeGuard
from chassis.public.tcp_sockets import Address, Traffic, address_of

MB = 1024 * 1024
BOUNDS = Bounds(message_bytes=4 * MB, held_bytes=16 * MB, body_timeout_s=2, answer_timeout_s=2, connections=3)


class FakeSockets:
    def __init__(self) -> None:
        self.there: dict[Address, Traffic] = {}
        self.cuts: list[int] = []
        self.refused: Collection[str] = ()

    def look(self) -> dict[Address, Traffic]:
        return dict(self.there)

    def cut(self, address: Address) -> None:
        self.cuts.append(address[1])
        del self.there[address]

    def refuse(self, hosts: Collection[str]) -> None:
        self.refused = hosts

    def watched(self, moved: Callable[[], None]) -> AbstractContextManager[None]:
        raise NotImplementedError

    def add(self, port: int, received: int = 0, acknowledged: int = 0) -> None:
        before = self.there.get(("h", port), Traffic(0, 0))
        self.there["h", port] = Traffic(before.received + received, before.acknowledged + acknowledged)


class Rig:
    def __init__(self, *, knows_readers: bool = True) -> None:
        self.reasons: list[str] = []
        self.sockets = FakeSockets()
        self.guard = EdgeGuard(BOUNDS, self.reasons.append, knows_readers=knows_readers)

    def ticks(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(round(seconds * 10)):
            each()
            self.guard.tick(self.sockets, 0.1)


async def test_a_client_that_means_well_stays_however_long_and_much_it_calls() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")

    def calls() -> None:
        for _ in range(100):  # a second: 1,000 calls, 50 MB up and down, in frames with their heads
            rig.sockets.add(1, received=50_000 + 150, acknowledged=50_000 + 120)
            rig.guard.delivered(connection, 50_000)
            rig.guard.answer(connection, 50_000)
        rig.sockets.add(1, received=34, acknowledged=34)

    rig.ticks(60, calls)
    rig.ticks(60)
    assert rig.reasons == []
    assert (connection.held, connection.unsent, connection.quiet_s, connection.stalled_s) == (0, 0, 0, 0)


async def test_bytes_of_no_message_are_a_flood() -> None:
    rig = Rig()
    rig.sockets.add(1)
    rig.sockets.add(2)
    rig.ticks(0.2, lambda: rig.sockets.add(1, received=MB))
    assert (rig.sockets.cuts, rig.reasons) == ([1], [FLOOD])


async def test_a_body_on_its_way_is_none_and_one_that_stops_is_ended() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 1
    rig.ticks(1, lambda: rig.sockets.add(1, received=MB * 3 // 10))
    assert rig.reasons == []
    rig.ticks(3)
    assert (rig.sockets.cuts, rig.reasons) == ([1], [SLOW_BODY])


async def test_what_was_received_while_no_call_reads_is_gone() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 1
    rig.ticks(1, lambda: rig.sockets.add(1, received=MB * 2 // 10))
    assert connection.held > MB
    connection.reading = 0  # cancelled by its client, halfway
    rig.guard.abandoned(connection)
    rig.ticks(10)
    assert (connection.held, rig.reasons) == (0, [])


async def test_a_flood_is_not_forgiven_for_calls_that_are_given_up_again_and_again() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")

    def flood() -> None:
        rig.guard.abandoned(connection)
        rig.sockets.add(1, received=MB)

    rig.ticks(1, flood)
    assert rig.reasons[0] == FLOOD


async def test_an_answer_that_is_not_read_ends_its_connection_and_a_slow_reader_stays() -> None:
    rig = Rig()
    stuck, slow = rig.guard.connection("ipv4:h:1"), rig.guard.connection("ipv4:h:2")
    rig.sockets.add(1)
    rig.sockets.add(2)
    for connection in (stuck, slow):
        rig.guard.answer(connection, 2 * MB)
    rig.ticks(8, lambda: rig.sockets.add(2, acknowledged=10_000))
    assert (rig.sockets.cuts, rig.reasons) == ([1], [UNREAD_ANSWER])
    assert slow.unsent > MB


async def test_an_answer_that_is_sent_does_not_wait_however_few_bytes_were_acknowledged() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    rig.sockets.add(1)

    def compressed() -> None:
        rig.guard.answer(connection, 3000)
        rig.guard.sent(connection, 3000)
        rig.sockets.add(1, acknowledged=100)

    rig.ticks(60, compressed)
    assert (connection.unsent, rig.reasons) == (0, [])


async def test_a_call_that_waits_for_hours_is_no_slow_body() -> None:
    rig = Rig()
    rig.guard.connection("ipv4:h:1").reading = 1
    rig.sockets.add(1)
    rig.ticks(1200, lambda: rig.sockets.add(1, received=17))  # a ping ten times a second
    assert rig.reasons == []


@pytest.mark.parametrize("knows_readers", [True, False])
async def test_the_one_that_holds_most_goes_when_all_hold_too_much(*, knows_readers: bool) -> None:
    rig = Rig(knows_readers=knows_readers)
    for port in (1, 2, 3):
        rig.guard.connection(f"ipv4:h:{port}").reading = 4
        rig.sockets.add(port)

    def bodies() -> None:
        for port in (1, 2, 3):
            rig.sockets.add(port, received=port * MB // 2)

    rig.ticks(0.6, bodies)
    assert (rig.sockets.cuts, rig.reasons) == ([3], [HELD])


@pytest.mark.parametrize(("taken", "reasons"), [(2_000, [HELD]), (200_000, [])], ids=["a trickle", "a reader"])
async def test_who_reads_one_answer_slowly_does_not_keep_all_others(taken: int, reasons: list[str]) -> None:
    rig = Rig()
    rig.sockets.add(1)
    rig.ticks(0.1)
    connection = rig.guard.connection("ipv4:h:1")
    for _ in range(20):  # over the 16 MB that all may hold; each small enough not to be refused
        rig.guard.answer(connection, 1_000_000)
    # 20 KB a second is enough not to stand still, and would take a quarter of an hour; 2 MB a second are a reader's
    rig.ticks(
        4, lambda: rig.sockets.add(1, acknowledged=taken) if 1 in {port for _, port in rig.sockets.there} else None
    )
    assert rig.reasons == reasons


async def test_a_large_answer_is_refused_while_too_much_waits_and_a_small_one_is_not() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    rig.sockets.add(1)
    rig.guard.answer(connection, 15 * MB)
    rig.guard.answer(connection, 1000)
    with pytest.raises(ResourceExhausted, match="large answers"):
        rig.guard.answer(connection, 2 * MB)
    rig.ticks(1, lambda: rig.sockets.add(1, acknowledged=4 * MB))
    rig.guard.answer(connection, 2 * MB)


async def test_the_newest_go_when_there_are_too_many_connections_and_none_is_idle() -> None:
    rig = Rig()
    for port in range(5):
        rig.sockets.add(port)
        rig.guard.connection(f"ipv4:h:{port}").calls = 1
        rig.ticks(0.1)
    assert (rig.sockets.cuts, rig.reasons) == ([3, 4], [CONNECTIONS, CONNECTIONS])


async def test_the_address_that_has_most_connections_makes_room_and_its_longest_idle_go_first() -> None:
    rig = Rig()
    rig.sockets.there["other", 9] = Traffic(0, 0)
    for port in (1, 2, 3):
        rig.sockets.add(port)
        rig.ticks(0.1)
    assert rig.sockets.cuts == [1]
    rig.guard.connection("ipv4:h:2").calls = 1
    rig.ticks(60)
    rig.sockets.there["a third", 8] = Traffic(0, 0)
    rig.ticks(0.1)
    assert (rig.sockets.cuts, rig.reasons) == ([1, 3], [CONNECTIONS, CONNECTIONS])


def test_room_is_made_by_who_holds_most_at_that_time() -> None:
    crowd = [
        ("a", -9.0, "a9"),
        ("a", -8.0, "a8"),
        ("a", -7.0, "a7"),
        ("b", -99.0, "b99"),
        ("b", math.inf, "b"),
        ("c", -1.0, "c"),
    ]
    assert leavers(crowd, 0) == []
    assert leavers(crowd, 4) == ["a9", "b99", "a8", "a7"]
    assert leavers(crowd, 9) == ["a9", "b99", "a8", "a7", "c"]


def test_the_addresses_of_one_site_count_as_one() -> None:
    assert network("10.0.0.1") == network("::ffff:10.0.0.1") != network("10.0.0.2")
    assert network("2001:db8::1") == network("2001:db8::ffff:2") != network("2001:db8:0:1::1")


async def test_an_address_that_comes_again_is_another_connection() -> None:
    rig = Rig()
    rig.sockets.add(1, received=900_000)
    rig.ticks(0.1)
    rig.sockets.there["h", 1] = Traffic(10, 10)
    rig.ticks(1)
    assert rig.guard.connection("ipv4:h:1").received == 10
    rig.sockets.there.clear()
    rig.ticks(0.1)
    assert rig.guard.connection("ipv4:h:1").received == 0


async def test_what_came_by_the_librarys_own_socket_is_credited_to_who_holds_most() -> None:
    rig = Rig(knows_readers=False)
    rig.sockets.add(1)

    def talk() -> None:
        rig.sockets.add(1, received=MB)
        rig.guard.delivered(rig.guard.connection("unix:"), MB)

    rig.ticks(30, talk)
    assert rig.reasons == []


def test_clients_are_known_by_grpcs_names_for_them() -> None:
    assert address_of("ipv4:127.0.0.1:80") == ("127.0.0.1", 80)
    assert address_of("ipv6:%5B::1%5D:80") == address_of("ipv6:[::1]:80") == ("::1", 80)
    assert address_of("ipv6:[::ffff:10.0.0.1]:80") == ("10.0.0.1", 80)
    assert address_of("unix:") is address_of("") is address_of("ipv4:x") is None


async def test_a_thousand_cancelled_calls_are_borne_and_a_flood_of_resets_is_not() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")

    def cancelled(calls: int) -> None:
        rig.sockets.add(1, received=calls * 60)
        for _ in range(calls):
            rig.guard.abandoned(connection)

    rig.ticks(0.1, lambda: cancelled(1000))
    rig.ticks(20)
    assert rig.reasons == []
    rig.ticks(0.3, lambda: cancelled(1000))
    assert rig.reasons == [FLOOD]


async def test_a_host_that_floods_again_is_kept_out_for_a_second_and_borne_with_less() -> None:
    rig = Rig()
    rig.ticks(0.2, lambda: rig.sockets.add(1, received=MB))
    rig.ticks(1)
    assert (rig.sockets.cuts, rig.sockets.refused) == ([1], ())
    rig.sockets.add(2)
    rig.sockets.add(3, received=1000)
    rig.sockets.there["other", 4] = Traffic(0, 0)
    rig.ticks(0.1, lambda: rig.sockets.add(2, received=MB // 4))
    rig.sockets.there["other", 4] = Traffic(MB // 4, 0)  # as much as would have been borne with
    rig.ticks(0.1)
    assert (rig.sockets.cuts, rig.sockets.refused) == ([1, 2], {"h"})
    assert set(rig.sockets.there) == {("h", 3), ("other", 4)}
    rig.ticks(1)
    assert rig.sockets.refused == frozenset()
    rig.ticks(70)
    rig.sockets.add(5)
    rig.ticks(0.1, lambda: rig.sockets.add(5, received=MB // 4))
    assert rig.sockets.cuts == [1, 2]


async def test_calls_given_up_on_connections_that_are_gone_are_a_flood_of_their_host() -> None:
    """Few on each, and each gone before a look."""
    rig = Rig()

    def comes_and_goes(host: str, port: int, calls: int) -> None:
        connection = rig.guard.connection(f"ipv4:{host}:{port}")
        for _ in range(calls):
            rig.guard.abandoned(connection)

    comes_and_goes("h", 1, 100)
    rig.ticks(0.1)
    assert (rig.reasons, rig.sockets.refused) == ([], ())
    rig.sockets.there["h", 9] = Traffic(0, 0)
    comes_and_goes("h", 2, 100)
    rig.ticks(0.1)
    assert (rig.reasons, rig.sockets.refused) == ([FLOOD], {"h"})
    # what still waits in the library of such connections is not worth a handler; what came over open ones is, and all of others
    asked = [rig.guard.unwanted(lambda peer=peer: f"ipv4:{peer}") for peer in ("h:3", "h:9", "other:3")]  # type: ignore[misc]
    assert asked == [True, False, False]
    rig.ticks(1.1)
    assert rig.sockets.refused == frozenset()
    assert not rig.guard.unwanted(lambda: "ipv4:h:3")
    for port in range(4, 64):  # one minute of a client that gives up ten calls on each of its short connections
        comes_and_goes("gentle", port, 10)
        rig.ticks(1)
    assert len(rig.reasons) == 1


async def test_who_floods_on_is_kept_out_twice_as_long_each_time() -> None:
    rig = Rig()
    kept: list[float] = []
    for port in range(1, 8):
        connection = rig.guard.connection(f"ipv4:h:{port}")
        for _ in range(200):
            rig.guard.abandoned(connection)
        rig.ticks(0.1)
        kept.append(0.0)
        while rig.sockets.refused:
            rig.ticks(0.1)
            kept[-1] += 0.1
    assert [round(seconds) for seconds in kept] == [1, 2, 4, 8, 16, 16, 16]


async def test_a_body_that_came_while_the_loop_was_busy_is_not_slow_at_once() -> None:
    rig = Rig(knows_readers=False)
    rig.guard.connection("ipv4:h:1")
    rig.sockets.add(1)
    rig.ticks(0.1)
    rig.sockets.add(1, received=MB)
    rig.guard.tick(rig.sockets, 3.0)
    assert rig.reasons == []
    rig.ticks(2.2)
    assert rig.reasons == [SLOW_BODY]


async def test_a_guard_is_calm_when_nothing_moves_and_nothing_is_held() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    rig.sockets.add(1, received=100)

    def calm_after(seconds: float) -> bool:
        rig.ticks(seconds)
        return rig.guard.calm

    assert [calm_after(0.5), calm_after(1)] == [False, True]
    rig.guard.answer(connection, MB)
    assert not calm_after(0.1)
    rig.guard.sent(connection, MB)
    assert calm_after(1.1)
    connection.reading = 1
    rig.sockets.add(1, received=MB)
    assert not calm_after(1.5)


async def test_a_long_rest_makes_no_flood_smaller() -> None:
    rig = Rig()
    rig.sockets.add(1)
    rig.ticks(1)
    rig.sockets.add(1, received=MB + MB // 2)
    rig.guard.tick(rig.sockets, 5.0)
    assert rig.reasons == [FLOOD]


async def test_a_call_that_reads_when_its_server_has_stopped_is_no_unexpected_error() -> None:
    """grpc.aio raises an error of its own there, which would be logged as our fault, with its trace, for each call."""

    class Context:
        def peer(self) -> str:
            return "ipv4:h:1"

        def invocation_metadata(self) -> None:
            return None

        async def read(self) -> bytes:
            raise aio.BaseError

    async def behaviour(_request: bytes, _context: object) -> bytes:
        raise AssertionError("there is no request")

    called = remade(grpc.unary_unary_rpc_method_handler(behaviour), Edge(Rig().guard), reads=True)
    with pytest.raises(Unavailable, match="the server stops"):
        await called.stream_unary(None, Context())
