"""Which header fields a request, an answer and trailers may have (RFC 9113, 8.2 and 8.3). What has a flaw is malformed."""

import re

from chassis.wire.header_blocks import Fields

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
_BAD_IN_ANSWER = re.compile(rb"[\x00\r\n]")  # a status' text may begin or end with a space: gRPC does not encode it
_OF_REQUEST = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


def request_flaw(fields: Fields) -> str | None:
    """Of a request's first block."""
    pseudo, flaw = _pseudo(fields, _OF_REQUEST)
    if flaw is not None:
        return flaw
    if pseudo.get(b":method") == b"CONNECT":
        return (
            None if pseudo.keys() == {b":method", b":authority"} else "CONNECT has an authority, no scheme and no path"
        )
    for name in (b":method", b":scheme", b":path"):
        if not pseudo.get(name):
            return f"{name.decode()} is missing"
    if pseudo[b":path"][:1] != b"/" and pseudo[b":path"] != b"*":
        return ":path does not begin with a slash"
    return _host_flaw(fields, pseudo.get(b":authority")) or _length_flaw(fields)


def response_flaw(fields: Fields) -> str | None:
    """Of an answer's first block, or of its trailers."""
    if not fields or fields[0][0] != b":status":
        return _pseudo(fields, frozenset(), _BAD_IN_ANSWER)[1] or _length_flaw(fields)
    pseudo, flaw = _pseudo(fields, frozenset((b":status",)), _BAD_IN_ANSWER)
    status = pseudo.get(b":status", b"")
    if flaw is None and not (len(status) == 3 and status.isdigit()):
        flaw = ":status is no code"
    return flaw or _length_flaw(fields)


def trailers_flaw(fields: Fields) -> str | None:
    """Of a block that ends a request."""
    return _pseudo(fields, frozenset())[1] or _length_flaw(fields)


def _pseudo(
    fields: Fields, allowed: frozenset[bytes], bad_value: re.Pattern[bytes] = _BAD_VALUE
) -> tuple[dict[bytes, bytes], str | None]:
    """(pseudo-header fields, what is wrong with any field)."""
    pseudo: dict[bytes, bytes] = {}
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name in pseudo or name not in allowed:
                return pseudo, f"the pseudo-header field {name!r} is late, there twice or unknown"
            pseudo[name] = value
        else:
            regular = True
            if _NAME.match(name) is None:
                return pseudo, f"{name!r} is no name of a field"
            if name in _OF_CONNECTION or (name == b"te" and value != b"trailers"):
                return pseudo, f"the field {name.decode()} belongs to HTTP/1.1"
        if bad_value.search(value) is not None:
            return pseudo, f"the value of {name!r} has a forbidden character"
    return pseudo, None


def _host_flaw(fields: Fields, authority: bytes | None) -> str | None:
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (hosts and authority is not None and hosts[0].lower() != authority.lower()):
        return "host is there twice or differs from :authority"
    return None


def _length_flaw(fields: Fields) -> str | None:
    lengths = {value for name, value in fields if name == b"content-length"}
    if len(lengths) > 1 or not all(value.isdigit() and len(value) < 19 for value in lengths):
        return "content-length is no number"
    return None
