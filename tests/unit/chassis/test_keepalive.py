"""When a peer is pinged: soon enough to notice a dead one, seldom enough for the strictest common servers."""

from hypothesis import given
from hypothesis import strategies as st

from chassis.wire.keepalive import ANSWER_S, Pulse

_FIVE_MINUTES_S = 300


def test_a_silent_peer_is_asked_and_given_up() -> None:
    pulse = Pulse()
    pulse.heard(100)
    found = [pulse.look(100 + second) for second in (5, 10, 15)]
    assert found == ["alive", "ping", "dead"]


def test_a_peer_that_answers_pings_alone_is_asked_again_after_five_minutes() -> None:
    pulse = Pulse()
    pulse.heard(0)
    asked = []
    for second in range(0, 1000, 5):
        if pulse.look(second) == "ping":
            asked.append(second)
            pulse.heard(second + 0.1)
    assert asked == [10, 320, 630, 940]


def test_a_peer_that_answers_calls_is_asked_in_each_silence() -> None:
    pulse = Pulse()
    for start in range(0, 1000, 100):
        pulse.answered()
        pulse.heard(start)
        assert [pulse.look(start + second) for second in (5, 10)] == ["alive", "ping"]
        pulse.heard(start + 11)


def test_a_peer_that_wants_no_pings_gets_none() -> None:
    pulse = Pulse(pings=False)
    assert {pulse.look(second) for second in range(0, 1000, 5)} == {"alive"}


@given(st.lists(st.sampled_from(["wait", "answer", "call"]), max_size=400))
def test_no_order_of_events_makes_a_strike(events: list[str]) -> None:
    """The server counts as grpc-core does: a ping within five minutes of the last one is a strike, unless it sent data."""
    pulse, now_s, last_ping_s = Pulse(), 0.0, -1e9
    pulse.heard(now_s)
    for event in events:
        if event == "answer":
            last_ping_s = -1e9
            pulse.answered()
            pulse.heard(now_s)
        elif event == "call":
            pulse.heard(now_s)
        else:
            now_s += ANSWER_S
            if pulse.look(now_s) == "ping":
                assert now_s - last_ping_s >= _FIVE_MINUTES_S
                last_ping_s = now_s
                pulse.heard(now_s)  # it answers pings
