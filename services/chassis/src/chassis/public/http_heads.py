"""What a request's head may not say, though a parser takes it: where two servers would read different requests, or none."""

import re
from collections.abc import Sequence

from chassis.errors import InvalidArgument

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]*)?")
_BODIES = frozenset({b"content-length", b"transfer-encoding"})
_RARE = _BODIES | {b"upgrade"}
# Of which one server would take the first and another the last.
_ONCE = frozenset({b"authorization", b"content-type", b"origin", b"x-api-key"})


def head_fault(target: bytes, headers: Sequence[tuple[bytes, bytes]], version: str) -> InvalidArgument | None:
    """What is wrong with a head whose names are in lower case, for a server that speaks HTTP/1 and nothing else."""
    host, rare, once, encodings = None, set[bytes](), set[bytes](), list[bytes]()
    for name, value in headers:
        if name == b"host":
            if host is not None:
                return InvalidArgument("the request has more than one Host header", reason="HOST_INVALID", field="Host")
            host = value
        elif name in _ONCE:
            if name in once:
                field = name.decode().title()
                return InvalidArgument(
                    f"the request has more than one {field} header", reason="INVALID_HTTP", field=field
                )
            once.add(name)
        elif name in _RARE:
            rare.add(name)
            if name == b"transfer-encoding":
                encodings.append(value.lower())
    if host is None or _HOST.fullmatch(host) is None:
        text = "the request has no Host header" if host is None else "the Host header is no host"
        return InvalidArgument(text, reason="HOST_INVALID", field="Host")
    if not target.startswith(b"/") and not _names(target, host):
        message = "the request's target names another host than its Host header, or none"
        return InvalidArgument(message, reason="INVALID_HTTP")
    return _framing_fault(rare, encodings, version) if rare else None


def _framing_fault(rare: set[bytes], encodings: list[bytes], version: str) -> InvalidArgument | None:
    if encodings and version != "1.1":
        return InvalidArgument("only HTTP/1.1 has Transfer-Encoding", reason="INVALID_HTTP")
    if encodings and encodings != [b"chunked"]:
        text = "chunked, once, is the only Transfer-Encoding that is spoken here"
        return InvalidArgument(text, reason="INVALID_HTTP", field="Transfer-Encoding")
    if b"upgrade" in rare and not rare.isdisjoint(_BODIES):
        # httptools would take the body for the new protocol's bytes, and so for the next request.
        message = "no other protocol is spoken here; leave Upgrade out of a request with a body"
        return InvalidArgument(message, reason="INVALID_HTTP", field="Upgrade")
    return None


def _names(target: bytes, host: bytes) -> bool:
    """Whether a target like http://host:80/path names this host."""
    scheme, _, rest = target.partition(b"://")
    return scheme.lower() in (b"http", b"https") and re.split(rb"[/?#]", rest, maxsplit=1)[0].lower() == host.lower()
