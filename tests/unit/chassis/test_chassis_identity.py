"""Identities and callers: forged, expired and foreign tokens never pass."""

import base64
import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.errors import DeadlineExceeded, Unauthenticated, Unavailable
from chassis.rpc.envelope import Call, open_envelope, seal
from chassis.rpc.identity import CallerTokens, Identity, Minter, Verifier, write_keys
from tests.fakes.clock import FakeClock

ANN = Identity("acme", "ann", frozenset({"predict", "read"}), frozenset({"pilots"}))
BASE64URL = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def minter(keys: Path, clock: FakeClock) -> Minter:
    return Minter(keys / "identity.key", clock)


@pytest.fixture
def verifier(keys: Path, clock: FakeClock) -> Verifier:
    return Verifier(keys / "identity.pub", clock)


def test_an_identity_comes_back(minter: Minter, verifier: Verifier) -> None:
    assert verifier.verify(minter.mint(ANN)) == ANN
    assert verifier.verify(minter.mint(Identity("t", "ünïcode 🙂"))) == Identity("t", "ünïcode 🙂")


def test_a_token_is_reused_for_half_its_life(minter: Minter, verifier: Verifier, clock: FakeClock) -> None:
    first = minter.mint(ANN)
    clock.advance(29)
    assert minter.mint(ANN) == first
    clock.advance(2)
    second = minter.mint(ANN)
    assert second != first
    assert verifier.verify(first) == verifier.verify(second) == ANN


@pytest.mark.parametrize("seen_before", [True, False])
def test_an_expired_token_is_refused(minter: Minter, verifier: Verifier, clock: FakeClock, seen_before: bool) -> None:
    token = minter.mint(ANN)
    if seen_before:
        verifier.verify(token)
    clock.advance(59.9)
    if seen_before:
        verifier.verify(token)
    clock.advance(0.1)
    for _ in range(2):
        with pytest.raises(Unauthenticated) as caught:
            verifier.verify(token)
        assert caught.value.reason == "IDENTITY_EXPIRED"


def test_a_token_from_the_future_is_refused(minter: Minter, verifier: Verifier, clock: FakeClock) -> None:
    clock.advance(61)
    token = minter.mint(ANN)
    clock.advance(-61)
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_a_foreign_token_is_refused(tmp_path: Path, verifier: Verifier, clock: FakeClock) -> None:
    write_keys(tmp_path / "other")
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(Minter(tmp_path / "other/identity.key", clock).mint(ANN))
    assert caught.value.reason == "IDENTITY_INVALID"


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "a.b.c", "é.é", "..", "\x00.\x00", "=" * 10, "A" * 5000])
def test_nonsense_is_refused(verifier: Verifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_no_character_of_a_token_may_change(minter: Minter, verifier: Verifier) -> None:
    token = minter.mint(ANN)
    chance = random.Random(5)
    for place in range(len(token)):
        other = chance.choice([c for c in BASE64URL if c != token[place]])
        with pytest.raises(Unauthenticated):
            verifier.verify(token[:place] + other + token[place + 1 :])


def twin(token: str) -> str:
    """The same bytes with other unused bits in the last character."""
    signature = token.partition(".")[2]
    raw = base64.urlsafe_b64decode(signature + "==")
    for char in BASE64URL:
        other = signature[:-1] + char
        if other != signature and base64.urlsafe_b64decode(other + "==") == raw:
            return token.partition(".")[0] + "." + other
    raise AssertionError("no twin")


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: token + "=",
        lambda token: token + "==",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.replace(".", "=."),
        twin,
        lambda token: token + ".x",
        lambda token: token.partition(".")[0] + ".",
        lambda token: token.partition(".")[0] + "." + "A" * 86,
    ],
)
def test_one_identity_has_one_text(minter: Minter, verifier: Verifier, forge: Callable[[str], str]) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(forge(minter.mint(ANN)))


def test_a_changed_payload_is_refused(minter: Minter, verifier: Verifier) -> None:
    body, _, signature = minter.mint(ANN).partition(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["tenant"] = "other"
    forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        verifier.verify(f"{forged}.{signature}")


def test_keys_rotate_without_a_restart(keys: Path, tmp_path: Path, verifier: Verifier, clock: FakeClock) -> None:
    old = Minter(keys / "identity.key", clock).mint(ANN)
    assert verifier.verify(old) == ANN
    write_keys(tmp_path / "new")
    both = (keys / "identity.pub").read_bytes() + (tmp_path / "new/identity.pub").read_bytes()
    partial = keys / "partial"
    partial.write_bytes(both)
    partial.rename(keys / "identity.pub")
    new = Minter(tmp_path / "new/identity.key", clock).mint(Identity("t", "s"))
    assert verifier.verify(new) == Identity("t", "s")
    assert verifier.verify(old) == ANN


def test_absent_keys_are_unavailable_until_they_come(tmp_path: Path, clock: FakeClock) -> None:
    verifier = Verifier(tmp_path / "late/identity.pub", clock)
    with pytest.raises(Unavailable):
        verifier.verify("YQ.YQ")
    write_keys(tmp_path / "late")
    assert verifier.verify(Minter(tmp_path / "late/identity.key", clock).mint(ANN)) == ANN


def test_caches_stay_bounded(minter: Minter, verifier: Verifier) -> None:
    for index in range(5000):
        minter.mint(Identity("t", str(index)))
    assert len(minter._cache) <= 4096
    verifier.verify(minter.mint(ANN))


def test_keys_are_made_once_and_private(keys: Path) -> None:
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    write_keys(keys)
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before
    assert set(before) == {"identity.key", "identity.pub", "service.secret"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.iterdir())
    (keys / "identity.pub").unlink()
    write_keys(keys)
    assert (keys / "identity.pub").read_bytes() == before["identity.pub"]


def test_callers_are_known_by_the_secret(keys: Path, tmp_path: Path, clock: FakeClock) -> None:
    write_keys(tmp_path / "other")
    gateway = CallerTokens(keys / "service.secret", "gateway", clock)
    features = CallerTokens(keys / "service.secret", "features", clock)
    stranger = CallerTokens(tmp_path / "other/service.secret", "gateway", clock)
    token = gateway.metadata()[0][1]
    assert features.check(token) == "gateway"
    assert gateway.metadata() is gateway.metadata()
    service, expiry, signature = token.split(".")
    forged = [
        stranger.metadata()[0][1],
        f"features.{expiry}.{signature}",
        f"{service}.{int(expiry) + 1}.{signature}",
        f"{service}.{expiry}.{signature[:-1]}",
        f"{service}.{expiry}",
        f"{service}.-1.{signature}",
        f"{service}.٣.{signature}",
        "",
        "..",
        None,
        b"bytes",
    ]
    for one in forged:
        with pytest.raises(Unauthenticated):
            features.check(one)
    clock.advance(299)
    assert gateway.metadata()[0][1] == token
    clock.advance(2)
    assert gateway.metadata()[0][1] != token
    assert features.check(token) == "gateway"
    clock.advance(300)
    with pytest.raises(Unauthenticated):
        features.check(token)


def test_an_envelope_carries_a_call(minter: Minter, verifier: Verifier, clock: FakeClock) -> None:
    call = Call("r1", ANN, clock.monotonic_s() + 0.5, "00-aa-bb-01")
    clock.advance(0.2)
    envelope = seal(call, minter.mint(ANN), clock)
    assert envelope.remaining_us == pytest.approx(300_000, abs=2)
    got = open_envelope(envelope, verifier, clock)
    assert (got.request_id, got.identity, got.traceparent) == ("r1", ANN, "00-aa-bb-01")
    assert got.remaining_s(clock) == pytest.approx(0.3, abs=1e-5)
    clock.advance(0.4)
    expired = seal(call, minter.mint(ANN), clock)
    assert expired.remaining_us == 0
    with pytest.raises(DeadlineExceeded) as caught:
        open_envelope(expired, verifier, clock)
    assert caught.value.reason == "EXPIRED_ON_ARRIVAL"
    with pytest.raises(Unauthenticated):
        open_envelope(seal(call, "", clock), verifier, clock)
