"""What a request's head may not say, though a parser takes it: where two servers would read different requests, or none."""

import re
from collections.abc import Sequence

from chassis.errors import InvalidArgument

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]*)?")
_BODIES = frozenset({b"content-length", b"transfer-encoding"})


def head_fault(target: bytes, headers: Sequence[tuple[bytes, bytes]], version: str) -> InvalidArgument | None:
    """What is wrong with a head whose names are in lower case, for a server that speaks HTTP/1 and nothing else."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        text = "the request has more than one Host header" if hosts else "the request has no Host header"
        return InvalidArgument(text, reason="HOST_INVALID", field="Host")
    if _HOST.fullmatch(hosts[0]) is None:
        return InvalidArgument("the Host header is no host", reason="HOST_INVALID", field="Host")
    if not target.startswith(b"/") and not _names(target, hosts[0]):
        message = "the request's target names another host than its Host header, or none"
        return InvalidArgument(message, reason="INVALID_HTTP")
    names = {name for name, _ in headers}
    if b"transfer-encoding" in names and version != "1.1":
        return InvalidArgument("only HTTP/1.1 has Transfer-Encoding", reason="INVALID_HTTP")
    if b"upgrade" in names and not names.isdisjoint(_BODIES):
        # httptools would take the body for the new protocol's bytes, and so for the next request.
        message = "no other protocol is spoken here; leave Upgrade out of a request with a body"
        return InvalidArgument(message, reason="INVALID_HTTP", field="Upgrade")
    return None


def _names(target: bytes, host: bytes) -> bool:
    """Whether a target like http://host:80/path names this host."""
    scheme, _, rest = target.partition(b"://")
    return scheme.lower() in (b"http", b"https") and re.split(rb"[/?#]", rest, maxsplit=1)[0].lower() == host.lower()
