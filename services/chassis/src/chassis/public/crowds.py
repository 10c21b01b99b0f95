"""Who makes room on a public port that is full: an idle connection of the network that holds most connections of it.

So one host, however many connections it opens and keeps, shuts out nobody but itself.
"""

import heapq
import ipaddress
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar

Leaver = TypeVar("Leaver")


def network(host: str) -> str:
    """Whose connections count as one's: an IPv4 address, or the 64 bits of an IPv6 address that a site is given."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()


def leavers(connections: Sequence[tuple[str, float, Leaver]], many: int) -> list[Leaver]:
    """So many idle ones at most; a connection is its network, since when it is idle (infinity while it is of use), and itself.

    Each is of the network that holds most once those before it are gone, and idle the longest there.
    """
    held = Counter([whose for whose, _, _ in connections])
    idle: defaultdict[str, list[tuple[float, Leaver]]] = defaultdict(list)
    for whose, since, each in sorted(connections, key=lambda connection: connection[1])[::-1]:
        if since != math.inf:
            idle[whose].append((since, each))
    crowds = [(-held[whose], those[-1][0], whose) for whose, those in idle.items()]
    heapq.heapify(crowds)
    found: list[Leaver] = []
    while crowds and len(found) < many:
        minus_held, _, whose = heapq.heappop(crowds)
        found.append(idle[whose].pop()[1])
        if idle[whose]:
            heapq.heappush(crowds, (minus_held + 1, idle[whose][-1][0], whose))
    return found
