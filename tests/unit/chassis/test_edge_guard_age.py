"""A message that has begun and does not go on, beside calls that do: how long the guard lets it."""

from tests.unit.chassis.test_edge_guard import MB, Rig


async def test_small_calls_do_not_keep_a_message_that_does_not_go_on() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 1
    rig.sockets.add(1)
    rig.ticks(0.1)
    rig.sockets.add(1, received=MB // 4)

    def calls() -> None:
        if ("h", 1) in rig.sockets.there:
            rig.sockets.add(1, received=5000)
            rig.guard.delivered(connection, 5000, 0.01)

    rig.ticks(3, calls)
    assert rig.reasons == []
    rig.ticks(2, calls)
    assert rig.reasons == ["slow_body"]


async def test_messages_that_arrive_keep_their_connection_though_some_are_always_on_their_way() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 2  # one waits for hours
    rig.sockets.add(1, received=MB // 2)
    rig.ticks(0.1)

    def talks() -> None:  # half a message ahead at every look
        rig.sockets.add(1, received=MB // 5 + MB // 5 // 64 + 256 + 26)
        rig.guard.delivered(connection, MB // 5)
        assert connection.held > 0

    rig.ticks(60, talks)
    assert rig.reasons == []


async def test_calls_that_upload_slowly_within_their_time_stay_beside_one_that_waits() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 4
    rig.sockets.add(1)
    ticks = 0

    def uploads() -> None:  # three at a time, 150 KB in 1.5 s each, begun half a second apart
        nonlocal ticks
        ticks += 1
        rig.sockets.add(1, received=30_000)
        if ticks > 10 and not ticks % 5:
            rig.guard.delivered(connection, 150_000, 1.5)

    rig.ticks(60, uploads)
    assert rig.reasons == []


async def test_an_upload_that_was_given_up_does_not_end_the_calls_beside_it() -> None:
    rig = Rig()
    connection = rig.guard.connection("ipv4:h:1")
    connection.reading = 2
    rig.sockets.add(1, received=MB // 2)
    rig.ticks(0.5)
    connection.reading = 1  # it waits for hours
    rig.guard.abandoned(connection)

    def calls() -> None:
        rig.sockets.add(1, received=5000 + 300)
        rig.guard.delivered(connection, 5000, 0.01)

    rig.ticks(20, calls)
    assert rig.reasons == []
