"""A header block means what the connection's table says at its arrival, whoever sent the one before it."""

import random
from collections.abc import Iterator

import hpack
import pytest

from chassis.wire.fields import request_flaw, trailers_flaw
from chassis.wire.header_blocks import HeaderBlocks

Fields = tuple[tuple[bytes, bytes], ...]


def requests(chance: random.Random, users: int) -> Iterator[Fields]:
    """Requests of many users on one connection, without end: fields of all sizes, so that the table turns over, and repeats."""
    sizes = [chance.choice((40, 400, 1000, 1400, 1900, 3000, 5000)) for _ in range(users)]
    while True:
        user = chance.randrange(users)
        key = b"%06d" % user
        filling = b"y" * sizes[user]
        for _ in range(chance.choice((1, 1, 2, 3))):
            more = tuple((b"x-%d" % place, key + filling) for place in range(chance.choice((0, 1, 1, 2))))
            fields: Fields = ((b":method", b"POST"), *more, (b"authorization", key + filling))
            if chance.random() < 0.3:
                fields += ((b"grpc-timeout", b"%dm" % chance.randrange(50)),)
            yield fields


def crossed(blocks: int, seed: int) -> int:
    """How many of so many blocks were read as something else than was sent."""
    encoder, decoder = hpack.Encoder(), HeaderBlocks(request_flaw)
    wrong = 0
    for _, sent in zip(range(blocks), requests(random.Random(seed), users=1000), strict=False):
        wrong += decoder.decode(encoder.encode(sent, huffman=False)).fields != sent
    return wrong


@pytest.mark.parametrize("seed", range(3))
def test_no_user_is_taken_for_another(seed: int) -> None:
    assert crossed(5_000, seed) == 0


@pytest.mark.slow
def test_no_user_is_taken_for_another_in_a_million_requests() -> None:
    assert crossed(1_000_000, 7) == 0


def test_any_change_of_the_table_makes_what_was_remembered_void() -> None:
    decoder = HeaderBlocks(trailers_flaw)
    newest = b"\xbe"  # the entry that came last
    for name in (b"one", b"two"):
        assert decoder.decode(b"\x40\x01a\x03" + name).fields == ((b"a", name),)
        for _ in range(3):
            assert decoder.decode(newest).fields == ((b"a", name),)
    decoder.decode(b"\x20")  # the peer empties its table
    with pytest.raises(hpack.HPACKError):
        decoder.decode(newest)


def test_a_table_that_grows_and_shrinks_in_one_block_has_changed() -> None:
    decoder = HeaderBlocks(trailers_flaw)
    decoder.decode(b"\x3f\x06")  # room for one entry
    seen = set()
    for number in range(100):
        value = b"%04d" % number
        assert decoder.decode(b"\x40\x01b\x04" + value + b"\x40\x01a\x04" + value).fields[-1] == (b"a", value)
        seen.add(decoder.decode(b"\xbe").fields[0])
    assert len(seen) == 100


def test_a_field_that_must_enter_no_table_is_not_remembered() -> None:
    decoder = HeaderBlocks(trailers_flaw)
    decoded = [decoder.decode(b"\x10\x01a\x06secret") for _ in range(2)]
    assert decoded[0].fields == decoded[1].fields == ((b"a", b"secret"),)
    assert decoded[0] is not decoded[1]
    plain = [decoder.decode(b"\x00\x01a\x06public") for _ in range(2)]
    assert plain[0] is plain[1]
