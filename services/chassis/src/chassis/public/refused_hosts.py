"""Refuses new connections of some hosts in the kernel: a filter on the listening socket drops what would open them.

Nobody sees such a connection, and it costs nothing here. Its client tries again by itself, first after a second: who shares an
address with an attacker waits, and is not turned away. Connections that are open go on. Linux alone; elsewhere nothing is refused.
"""

import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterable

MOST_HOSTS = 64  # the kernel bounds what a filter may cost

_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER
_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _JUMP, _IF_EQUAL, _RETURN = 0x20, 0x30, 0x74, 0x05, 0x15, 0x06
_IP_HEADER = -0x100000  # SKF_NET_OFF
_SOURCE = {4: _IP_HEADER + 12, 6: _IP_HEADER + 8}
_TAKE, _DROP = 0xFFFFFFFF, 0


def refuse(listening: socket.socket, hosts: Collection[str]) -> None:
    """From now on, connections of these hosts, IP addresses, and of no others are refused. OSError where the kernel cannot."""
    if not hosts:
        with contextlib.suppress(FileNotFoundError):  # there was none
            listening.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        return
    steps = b"".join(_program(list(hosts)[:MOST_HOSTS]))
    held = ctypes.create_string_buffer(steps, len(steps))
    listening.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("HP", len(steps) // 8, ctypes.addressof(held)))


def _program(hosts: Iterable[str]) -> list[bytes]:
    """Classic BPF: looks at the packet's IP version, then compares its source with each host of that version."""
    known: dict[int, list[bytes]] = {4: [], 6: []}
    for address in map(ipaddress.ip_address, hosts):
        known[address.version].append(address.packed)
    four = [_step(_LOAD_WORD, _SOURCE[4])]
    for packed in known[4]:
        four += [_step(_IF_EQUAL, int.from_bytes(packed, "big"), 0, 1), _step(_RETURN, _DROP)]
    four.append(_step(_RETURN, _TAKE))
    six: list[bytes] = []
    for packed in known[6]:
        for at in range(0, 16, 4):
            left = 2 * (4 - at // 4) - 1  # steps of this host behind the comparison
            six += [
                _step(_LOAD_WORD, _SOURCE[6] + at),
                _step(_IF_EQUAL, int.from_bytes(packed[at : at + 4], "big"), 0, left),
            ]
        six.append(_step(_RETURN, _DROP))
    six.append(_step(_RETURN, _TAKE))
    version = [
        _step(_LOAD_BYTE, _IP_HEADER),
        _step(_SHIFT_RIGHT, 4),
        _step(_IF_EQUAL, 6, 0, 1),
        _step(_JUMP, len(four)),
    ]
    return [*version, *four, *six]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)
