"""How often an address may be wrong, and what an address is behind a proxy.

Only refused deliveries count. An address that has lately proved itself is never turned away unread: behind a proxy that we
were not told of, vendors and everybody else share one address.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import BadInput

BURST = 30.0
PER_SECOND = 0.5
PROVED_SECONDS = 3600.0
MOST_ADDRESSES = 10_000
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class _Standing:
    tokens: float
    at: float
    proved_at: float | None = None


class Limits:
    """Refusals by (source, address), the least recently seen forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._standings: OrderedDict[tuple[str, str], _Standing] = OrderedDict()

    def wait(self, source: str, address: str) -> float:
        """Seconds until a delivery is read again; 0 when it is."""
        found = self._standings.get((source, address))
        if found is None or self._proved(found):
            return 0.0
        return max(0.0, (1.0 - self._tokens(found)) / PER_SECOND)

    def refused(self, source: str, address: str) -> bool:
        """Count a refusal. Whether there were too many."""
        standing = self._standing(source, address)
        standing.tokens, standing.at = max(self._tokens(standing) - 1.0, -1.0), self._clock()
        return standing.tokens < 0

    def proved(self, source: str, address: str) -> None:
        self._standing(source, address).proved_at = self._clock()

    def _tokens(self, standing: _Standing) -> float:
        return min(BURST, standing.tokens + (self._clock() - standing.at) * PER_SECOND)

    def _proved(self, standing: _Standing) -> bool:
        return standing.proved_at is not None and self._clock() - standing.proved_at < PROVED_SECONDS

    def _standing(self, source: str, address: str) -> _Standing:
        key = (source, address)
        found = self._standings.setdefault(key, _Standing(BURST, self._clock()))
        self._standings.move_to_end(key)
        while len(self._standings) > MOST_ADDRESSES:
            self._standings.popitem(last=False)
        return found


def networks(text: str | None) -> list[Network]:
    """Networks separated by commas. Raises ValueError."""
    return [ipaddress.ip_network(one.strip()) for one in (text or "").split(",") if one.strip()]


def trusted(text: str | None) -> list[Network]:
    """The proxies that VIOX_TRUSTED_PROXIES names. Raises BadInput."""
    try:
        return networks(text)
    except ValueError as error:
        raise BadInput(
            "settings.invalid", f"{error}.", field="VIOX_TRUSTED_PROXIES", remedy="For instance 10.0.0.0/8,192.168.1.7."
        ) from error


def client(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Who sent a request: the peer, or what trusted proxies say of whom they had it from, the last first."""
    address = peer or "-"
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    while hops and _is_in(address, trusted):
        address = hops.pop()
    return address[:64]


def _is_in(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in trusted)
