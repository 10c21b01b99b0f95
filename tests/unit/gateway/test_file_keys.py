"""The key file: what can be read takes effect, what is wrong is loud, and nothing that is revoked goes on."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.api_keys import SCOPES, ApiKey, key_hash, parse_expiry, parse_key, parse_keys
from chassis.errors import Unauthenticated, Unavailable
from gateway.adapters.file_keys import FileKeys
from gateway.domain.model import Caller

SECRET = bytes(32)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
GRACE_S = 60.0


class Clock:
    """Stands until told to go on."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_us(self) -> int:
        return round((NOW.timestamp() + self.passed_s) * 1e6)

    def monotonic_s(self) -> float:
        return 1000.0 + self.passed_s


class Log:
    """Keeps what was logged as error."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def error(self, event: str, **values: Any) -> None:
        self.errors.append({"event": event, **values})

    def info(self, event: str, **values: Any) -> None:
        assert "key1" not in str(values)


def line(key: str, name: str = "ci", tenant: str = "acme", scopes: str = "read,infer") -> str:
    return f"{name}:{tenant}:{scopes}:{key_hash(SECRET, key)}"


class Rig:
    """A key file and what reads it."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.path, self.secret = directory / "api-keys", directory / "secret"
        self.secret.write_text(SECRET.hex())
        self.clock, self.log = Clock(), Log()
        self.write(*lines)
        self.keys = self.open()

    def open(self) -> FileKeys:
        return FileKeys([self.path], self.secret, self.clock, grace_s=GRACE_S, log=self.log)

    def write(self, *lines: str, end: str = "\n") -> None:
        self.path.write_text("".join(f"{each}{end}" for each in lines), newline="")

    def look(self) -> None:
        self.keys.look()

    def works(self, key: str) -> bool:
        try:
            return self.keys.caller(key).subject != ""
        except Unauthenticated as error:
            assert error.reason == "API_KEY_INVALID"
            return False


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, "# ours", "", line("key1"), line("key2", "app", scopes="*"))


def test_who_has_a_key_is_its_caller(rig: Rig) -> None:
    assert rig.keys.caller("key1") == Caller("acme", "ci", frozenset({"read", "infer"}))
    assert rig.keys.caller("key2") == Caller("acme", "app", frozenset({"*"}))
    assert "key1" not in rig.path.read_text()
    for missing in (None, ""):
        with pytest.raises(Unauthenticated, match="send an API key"):
            rig.keys.caller(missing)
    for wrong in ("key3", key_hash(SECRET, "key1"), "KEY1"):
        assert not rig.works(wrong)


def test_a_typo_does_not_hold_up_a_revocation(rig: Rig) -> None:
    rig.write("oops", line("key2", "app"))
    rig.look()
    assert (rig.works("key1"), rig.works("key2")) == (False, True)
    (told,) = rig.log.errors
    assert (told["line"], told["error"], told["file"]) == (1, "is not name:tenant:scopes:hash", str(rig.path))
    assert rig.keys.details() == ["API keys: api-keys line 1: is not name:tenant:scopes:hash"]
    assert (rig.keys.count(), rig.keys.faults()) == (1, 1)
    rig.write(line("key1"), line("key2", "app"))
    rig.look()
    assert (rig.works("key1"), rig.keys.details(), rig.keys.faults()) == (True, [], 0)


WRONG: list[tuple[Callable[[str], str], str]] = [
    (lambda good: good[:-1], "the hash is not 64 of"),
    (lambda good: good.upper(), "the name is not"),
    (lambda good: good.replace("acme", ""), "the tenant is not"),
    (lambda good: good.replace("acme", "ac/me"), "the tenant is not"),
    (lambda good: good.replace("infer", "infr"), "the scopes are not some of read, infer, write, or *"),
    (lambda good: good.replace("read,infer", ""), "the scopes are not some of"),
    (lambda good: good + ":soon", "the expiry is no day"),
    (lambda good: good + " # mine", "the hash is not 64 of"),
    (lambda good: good.replace("ci", "cí"), "is not ASCII text"),
    (lambda _: "mzn_a-whole-key-that-somebody-pasted", "is not name:tenant:scopes:hash"),
]


@pytest.mark.parametrize(("spoil", "reason"), WRONG)
def test_a_wrong_line_is_told_without_its_content(rig: Rig, spoil: Callable[[str], str], reason: str) -> None:
    wrong = spoil(line("key1"))
    rig.write(line("key2", "app"), wrong)
    rig.look()
    assert (rig.works("key1"), rig.works("key2")) == (False, True)
    (fault,) = rig.keys.details()
    assert fault.startswith(f"API keys: api-keys line 2: {reason}")
    told = f"{fault} {rig.log.errors}"
    assert not [part for part in wrong.split(":") if len(part) > 4 and part in told]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_systems_text_files_are_read(rig: Rig, end: str) -> None:
    rig.write("\ufeff# ours", " ", f"  {line('key9')} ", end=end)
    rig.look()
    assert (rig.works("key9"), rig.works("key1"), rig.keys.details()) == (True, False, [])


def test_one_key_twice(rig: Rig) -> None:
    rig.write(line("key1"), line("key1"), line("key2", "app"))
    rig.look()
    assert (rig.works("key1"), rig.keys.details()) == (True, ["API keys: api-keys line 2: is the key of line 1 again"])
    # Somebody wanted to take rights away, and nobody can know from which line.
    rig.write(line("key1", scopes="*"), line("key1", scopes="read"), line("key2", "app"))
    rig.look()
    assert (rig.works("key1"), rig.works("key2")) == (False, True)
    assert rig.keys.details() == [
        "API keys: api-keys line 1: stands again with other rights: neither line counts",
        "API keys: api-keys line 2: is the key of line 1 again",
    ]


def test_one_name_twice_is_told_and_both_work(rig: Rig) -> None:
    rig.write(line("key1"), line("key2"), line("key3", tenant="other"))
    rig.look()
    assert (rig.works("key1"), rig.works("key2"), rig.works("key3")) == (True, True, True)
    (fault,) = rig.keys.details()
    assert fault.startswith("API keys: api-keys line 2: has the name of line 1")


def test_a_key_ends_by_itself(rig: Rig) -> None:
    rig.write(f"{line('key1')}:{(NOW + timedelta(seconds=10)).isoformat()}", f"{line('key2', 'app')}:2026-11-28")
    rig.look()
    assert rig.works("key1")
    for key, passed_s in (("key1", 10.0), ("key2", 0.0)):
        rig.clock.passed_s = passed_s
        with pytest.raises(Unauthenticated) as caught:
            rig.keys.caller(key)
        assert caught.value.reason == "API_KEY_EXPIRED"


def test_a_file_without_keys_opens_nothing(rig: Rig) -> None:
    rig.write("# all are gone")
    rig.look()
    assert (rig.works("key1"), rig.keys.count()) == (False, 0)


def _removed(path: Path) -> None:
    path.unlink()


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _huge(path: Path) -> None:
    os.truncate(path, 2 * 1024 * 1024)


@pytest.mark.parametrize("spoil", [_removed, _a_folder, _a_pipe, _a_loop, _huge])
def test_an_unreadable_file_is_loud_and_its_keys_go_on_for_a_bounded_time(
    rig: Rig, spoil: Callable[[Path], None]
) -> None:
    spoil(rig.path)
    for _ in range(3):
        rig.look()
    assert rig.works("key1")
    (told,) = rig.log.errors  # once, not every second
    assert (told["event"], told["grace_s"]) == ("API key file cannot be read", GRACE_S)
    (detail,) = rig.keys.details()
    assert detail.startswith("API keys: api-keys cannot be read: ")
    rig.clock.passed_s = GRACE_S + 1
    rig.look()
    assert rig.keys.age_s() == GRACE_S + 1
    for key in ("key1", "unknown"):
        with pytest.raises(Unavailable) as caught:
            rig.keys.caller(key)
        assert (caught.value.reason, caught.value.retry_after_s) == ("KEYS_UNREADABLE", 1.0)
        assert str(rig.path) not in caught.value.message
    with pytest.raises((OSError, ValueError)):
        rig.open()
    if rig.path.is_dir():
        rig.path.rmdir()
    else:
        rig.path.unlink(missing_ok=True)
    rig.write(line("key2", "app"))
    rig.look()
    assert (rig.works("key1"), rig.works("key2"), rig.keys.details(), rig.keys.age_s()) == (False, True, [], 0.0)


def test_a_look_that_hangs_is_an_unreadable_file(rig: Rig) -> None:
    rig.clock.passed_s = GRACE_S + 1  # and nobody looked
    with pytest.raises(Unavailable, match="cannot read its API keys"):
        rig.keys.caller("key1")


def test_another_file_with_the_same_time_and_size_is_seen(rig: Rig) -> None:
    rig.write(line("key1"))
    rig.look()
    before = rig.path.stat()
    rig.write(line("key5"))
    os.utime(rig.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rig.path.stat().st_size == before.st_size
    rig.look()
    assert (rig.works("key1"), rig.works("key5")) == (False, True)


def test_a_secret_of_kubernetes_is_swapped_by_a_link(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "api-keys").write_text(line(f"key{number}"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "api-keys").symlink_to("..data/api-keys")
    (tmp_path / "secret").write_text(SECRET.hex())
    keys = FileKeys([tmp_path / "api-keys"], tmp_path / "secret", Clock(), grace_s=GRACE_S, log=Log())
    assert keys.caller("key1").subject == "ci"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    keys.look()
    assert keys.caller("key2").subject == "ci"
    with pytest.raises(Unauthenticated):
        keys.caller("key1")


def test_a_file_that_is_being_written_is_seen_whole(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write("")  # truncated, and not yet written

    def written(_: float) -> None:
        rig.write(line("key1"), line("key7", "new"))

    monkeypatch.setattr("gateway.adapters.file_keys.time.sleep", written)
    rig.look()
    assert (rig.works("key1"), rig.works("key7"), rig.works("key2")) == (True, True, False)


def test_no_start_without_a_key_that_works(rig: Rig) -> None:
    rig.write("nonsense", "# nothing")
    with pytest.raises(ValueError, match=r"api-keys holds no API key that works; line 1: is not name"):
        rig.open()
    rig.write("nonsense", line("key1"))
    assert rig.open().caller("key1").tenant == "acme"


def test_keys_of_two_files(rig: Rig, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(line("key8", "mizzen-up", "default"))
    keys = FileKeys([own, rig.path], rig.secret, rig.clock, grace_s=GRACE_S, log=rig.log)
    assert (keys.caller("key8").subject, keys.caller("key1").subject, keys.count()) == ("mizzen-up", "ci", 3)
    rig.path.unlink()
    rig.clock.passed_s = GRACE_S + 1
    keys.look()
    assert keys.caller("key8").subject == "mizzen-up"
    with pytest.raises(Unavailable):
        keys.caller("key1")


def test_reading_while_others_ask(rig: Rig) -> None:
    ended = threading.Event()

    def rewrite() -> None:
        for number in range(30):
            partial = rig.path.with_suffix(".new")
            partial.write_text(f"# {number}\n{line('key1')}\n")
            partial.replace(rig.path)
            rig.look()
        ended.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not ended.is_set():
        assert rig.keys.caller("key1").subject == "ci"
    writer.join()


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)
tenants = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
api_keys = st.builds(
    ApiKey,
    names,
    tenants,
    st.frozensets(st.sampled_from([*SCOPES, "*"]), min_size=1),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)


@settings(deadline=None)
@given(api_keys)
def test_a_key_is_the_line_it_writes(key: ApiKey) -> None:
    assert parse_key(key.line()) == key


@settings(deadline=None)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([line("a").encode(), b"x:y", b"#", b"\xef\xbb\xbf", b"\r\n", b"\n", b":"])).map(b"".join)
)
def test_any_bytes_are_keys_and_faults(data: bytes) -> None:
    lines = parse_keys(data)
    last = data.count(b"\n") + 1
    assert all(1 <= number <= last for number in [*(f.line for f in lines.faults), *(n for n, _ in lines.keys)])
    assert len({key.hash for _, key in lines.keys}) == len(lines.keys)


@given(st.text(max_size=30) | st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str))
def test_any_expiry_is_an_instant_or_refused(text: str) -> None:
    try:
        assert parse_expiry(text).utcoffset() == timedelta(0)
    except ValueError as error:
        assert "the expiry is no day" in str(error)


def test_a_file_that_was_emptied_is_loud(tmp_path: Path) -> None:
    rig = Rig(tmp_path, line("key1"))
    rig.write()
    rig.look()
    assert not rig.works("key1")
    assert rig.keys.details() == ["API keys: api-keys holds no key: none of those that it had works"]
    assert [(error["event"], error["keys"]) for error in rig.log.errors] == [("API keys read", 0)]
    rig.write(line("key2"))
    rig.look()
    assert (rig.works("key2"), rig.keys.details()) == (True, [])
