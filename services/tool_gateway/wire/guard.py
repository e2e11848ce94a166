"""Where requests may go: public addresses only, checked on the address that is being connected to, at that moment.

Names are not trusted: what a name resolves to is checked when the socket is made for it, so an answer that changes
between check and use cannot slip through. Addresses that carry another one (mapped, NAT64, 6to4, Teredo) count as it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from shared.errors import BadInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
# Cloud metadata services: never, whatever is allowed.
METADATA = frozenset(
    ipaddress.ip_address(a)
    for a in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
# Not public, though Python's tables (of some versions) do not say so: site-local, documentation, local NAT64, where
# the network's own layout decides which bits are the address.
HIDDEN = tuple(ipaddress.IPv6Network(n) for n in ("fec0::/10", "3fff::/20", "5f00::/16", "64:ff9b:1::/48"))


class Refused(OSError):
    """The address is none we connect to."""


class Guard:
    """`loopback` for a sandbox on the same machine; `networks` for a business's own."""

    def __init__(self, *, loopback: bool = False, networks: tuple[Network, ...] = ()) -> None:
        self._loopback = loopback
        self._networks = networks

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Guard:
        """From VIOX_ALLOW_LOOPBACK and VIOX_ALLOW_NETWORKS (CIDR, separated by commas). Raises BadInput."""
        given = values.get("VIOX_ALLOW_NETWORKS", "")
        try:
            networks = tuple(ipaddress.ip_network(part.strip()) for part in given.split(",") if part.strip())
        except ValueError as error:
            raise BadInput(
                "settings.invalid", f"{error}.", field="VIOX_ALLOW_NETWORKS", remedy="For instance 10.20.0.0/16."
            ) from error
        return cls(loopback=values.get("VIOX_ALLOW_LOOPBACK") == "1", networks=networks)

    def refusal(self, text: str) -> str | None:
        """None when the address may be connected to, else why not."""
        try:
            given = ipaddress.ip_address(text.partition("%")[0])
            address = _inner(given)
        except ValueError:
            return f"{text!r} is not an address"
        if address in METADATA:
            return f"{text} is a metadata service"
        if address.is_loopback:
            return None if self._loopback else f"{text} is this machine"
        if any(one in network for network in self._networks for one in (given, address)):
            return None
        if (
            any(given in network for network in HIDDEN)
            or not address.is_global
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
        ):
            return f"{text} is not a public address"
        return None

    def open(self, info: Any) -> socket.socket:
        """A socket for an address as getaddrinfo has it. Raises Refused."""
        family, kind, protocol, _, where = info
        if why := self.refusal(str(where[0])):
            raise Refused(f"{why}; the outbound guard refuses it")
        return socket.socket(family=family, type=kind, proto=protocol)


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address.teredo:
            return address.teredo[1]
        if any(address in network for network in NAT64):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
