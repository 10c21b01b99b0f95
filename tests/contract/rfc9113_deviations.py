"""Where a server that is not ours differs from RFC 9113, each with the reason why we live with it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deviation:
    """What the server does instead, and why that does no harm here."""

    outcome: str
    reason: str


def _each(outcome: str, reason: str, *names: str) -> dict[str, Deviation]:
    return {name: Deviation(outcome, reason) for name in names}


_H2: dict[str, Deviation] = {
    **_each(
        "nothing",
        "h2 takes frames before the settings, whose defaults hold until then.",
        "no settings after the preface",
    ),
    **_each(
        "connection PROTOCOL_ERROR",
        "h2 names PROTOCOL_ERROR for most of what it cannot read: the connection ends all the same.",
        "settings of 5 bytes",
        "an acknowledgement with settings",
        "a ping of 7 bytes",
        "a ping of 9 bytes",
        "a reset of 3 bytes",
        "a reset of 5 bytes",
        "a window update of 3 bytes",
        "a window update of 5 bytes",
        "a goodbye of 7 bytes",
        "a priority of 4 bytes",
        "headers too short for their priority",
        "data after the end",
        "headers of a closed stream",
        "headers after a reset",
        "an initial window over the limit",
        "the index 0",
        "an index beyond the table",
        "a table over its limit",
        "a change of the table after fields",
        "a field cut short",
        "an integer cut short",
        "Huffman code with its end in it",
        "Huffman code padded by zeros",
    ),
    **_each("stream PROTOCOL_ERROR", "The stream ends all the same, with another code.", "headers after the end"),
    **_each(
        "answered 200, gRPC 13",
        "pygrpc-native answers the call with INTERNAL: no handler reads trailers.",
        "a pseudo-header in trailers",
    ),
    **_each(
        "answered 200, gRPC 0",
        "The http crate keeps white space around a value: nothing of ours takes it off, so a value means one thing.",
        "a value with ' a'",
        "a value with 'a '",
        "a value with '\\ta'",
    ),
    **_each(
        "answered 200, gRPC 0",
        "Nothing reads host: no method and no identity is chosen by it.",
        "a host that is another",
    ),
}

_GRPC_CORE: dict[str, Deviation] = {
    **_each(
        "nothing",
        "grpc-core reads no priority at all.",
        "a priority of 4 bytes",
        "a priority of the connection",
        "headers that depend on themselves",
        "a priority over itself",
    ),
    **_each(
        "stream PROTOCOL_ERROR",
        "grpc-core ends the one call where the connection should end: no handler is called.",
        "padded data without a length",
        "data that is all padding",
    ),
    **_each(
        "stream INTERNAL_ERROR",
        "grpc-core ends the one call where the connection should end: no handler is called.",
        "padded headers without a length",
        "no :method",
        "no :scheme",
        "no :path",
    ),
    **_each(
        "nothing",
        "grpc-core drops frames of streams that it does not know, or that have ended: no handler is called.",
        "data of the connection",
        "headers of the connection",
        "a reset of the connection",
        "a promise of the connection",
        "a ping of a stream",
        "a goodbye of a stream",
        "a promise from a client",
        "a stream of an even number",
        "a stream of a lower number",
        "data of an idle stream",
        "a reset of an idle stream",
        "data after the end",
        "headers after the end",
        "data after a reset",
        "headers after a reset",
    ),
    **_each(
        "nothing",
        "grpc-core lets a window grow over the limit: only the client who does it is sent more than it can hold.",
        "a window of an idle stream",
        "a window over the limit",
        "a stream's window over the limit",
        "settings that lift a window over the limit",
    ),
    **_each(
        "answered 200, gRPC 0",
        "grpc-core drops frames of streams that have ended; the answer is that of the call before.",
        "data of a closed stream",
        "headers of a closed stream",
    ),
    **_each(
        "answered 200, gRPC 12",
        "grpc-core answers the call with an error of gRPC instead of a reset: no handler is called.",
        "an empty path",
        "a late pseudo-header",
    ),
    **_each(
        "answered 200, gRPC 0",
        "grpc-core takes one of several pseudo-header fields, and the handler is chosen by that one alone.",
        ":method twice",
        ":scheme twice",
        ":path twice",
        "a status in a request",
    ),
    **_each(
        "answered 200, gRPC 13",
        "grpc-core answers the call with an error of gRPC instead of a reset: no handler is called.",
        "an unknown pseudo-header",
        "CONNECT with a path",
        "the name 'X-Upper'",
        "the name 'a b'",
        "the name 'a\\x00b'",
        "the name 'a\\x7f'",
        "the name 'aé'",
        "the name 'a:b'",
        "te other than trailers",
        "Huffman code with its end in it",
    ),
    **_each(
        "nothing",
        "grpc-core ends the call at its deadline: no handler is called.",
        "a pseudo-header in trailers",
        "no body where there should be one",
    ),
    **_each(
        "answered 200, gRPC 0",
        "grpc-core passes control characters and white space in values on to handlers, which compare values as a whole.",
        "a value with 'a\\x00b'",
        "a value with 'a\\rb'",
        "a value with 'a\\nb'",
        "a value with ' a'",
        "a value with 'a '",
        "a value with '\\ta'",
    ),
    **_each(
        "answered 200, gRPC 0",
        "grpc-core passes fields of HTTP/1.1 on as metadata, which no handler reads.",
        "the field connection",
        "the field keep-alive",
        "the field proxy-connection",
        "the field transfer-encoding",
        "the field upgrade",
    ),
    **_each(
        "answered 200, gRPC 0",
        "Nothing reads host: no method and no identity is chosen by it.",
        "a host that is another",
    ),
    **_each(
        "answered 200, gRPC 0",
        "grpc-core reads no content-length: the frames say where a body ends.",
        "a body shorter than it should be",
        "a body longer than it should be",
        "a length that is no number",
        "two lengths",
    ),
    **_each(
        "nothing",
        "grpc-core reads a change of the table wherever it stands, as it was meant.",
        "a change of the table after fields",
    ),
    **_each(
        "connection nothing said",
        "grpc-core ends the connection for a flag of a ping that it does not know. No client of gRPC sends one.",
        "unknown flags",
    ),
}

DEVIATIONS = {"native": _H2, "grpcio": _GRPC_CORE}
