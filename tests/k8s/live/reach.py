"""Who may reach whom by NetworkPolicies: what a network would enforce, worked out from objects of the API server.

A connection needs leave on both sides. A pod that no policy of a direction selects is open in it; rules of several add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from viox.deploy.documents import Object
from viox.deploy.reading import matches

Labels = dict[str, str]


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod with its namespace, or an address outside, which has neither."""

    address: str
    namespace: str = ""
    labels: Labels = field(default_factory=dict)
    space: Labels = field(default_factory=dict)  # of its namespace
    ports: Labels = field(default_factory=dict)  # named ports → numbers


def of_pod(pod: Object, spaces: dict[str, Labels]) -> Peer:
    meta = pod["metadata"]
    ports = {
        port["name"]: str(port["containerPort"])
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if "name" in port
    }
    address = pod.get("status", {}).get("podIP", "")
    return Peer(address, meta["namespace"], meta.get("labels", {}), spaces[meta["namespace"]], ports)


def reaches(source: Peer, target: Peer, port: int, policies: list[Object], protocol: str = "TCP") -> bool:
    out = _lets(policies, "Egress", source, target, _Door(port, protocol, target.ports))
    return out and _lets(policies, "Ingress", target, source, _Door(port, protocol, target.ports))


def selecting(pod: Peer, policies: list[Object], direction: str) -> list[Object]:
    """The policies that hold for a pod in a direction."""
    return [
        one
        for one in policies
        if one["metadata"]["namespace"] == pod.namespace
        and direction in types_of(one["spec"])
        and matches(one["spec"]["podSelector"], pod.labels)
    ]


def unselected(pods: list[Peer], policies: list[Object]) -> list[Peer]:
    """Those that are open in a direction, because no policy of it selects them."""
    return [pod for pod in pods for way in ("Ingress", "Egress") if not selecting(pod, policies, way)]


def types_of(spec: Object) -> list[str]:
    """Where a policy does not say it: incoming, and outgoing too when it has rules for that."""
    found: list[str] = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return found


@dataclass(frozen=True)
class _Door:
    port: int
    protocol: str
    names: Labels

    def opened_by(self, ports: list[Object]) -> bool:
        return not ports or any(self._is(one) for one in ports)

    def _is(self, one: Object) -> bool:
        if one.get("protocol", "TCP") != self.protocol:
            return False
        first: Any = one.get("port")
        if first is None:
            return True
        if isinstance(first, str):
            return self.names.get(first) == str(self.port)
        return bool(first <= self.port <= one.get("endPort", first))


def _lets(policies: list[Object], direction: str, pod: Peer, other: Peer, door: _Door) -> bool:
    mine = selecting(pod, policies, direction)
    rules, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    if not pod.namespace or not mine:
        return True
    return any(
        door.opened_by(rule.get("ports") or []) and _one_of(other, rule.get(peers) or [], pod.namespace)
        for one in mine
        for rule in one["spec"].get(rules) or []
    )


def _one_of(other: Peer, peers: list[Object], namespace: str) -> bool:
    return not peers or any(_is_peer(other, one, namespace) for one in peers)


def _is_peer(other: Peer, one: Object, namespace: str) -> bool:
    if "ipBlock" in one:
        return not other.namespace and _inside(other.address, one["ipBlock"])
    if not other.namespace:
        return False
    if "namespaceSelector" in one:
        there = matches(one["namespaceSelector"], other.space)
    else:
        there = other.namespace == namespace
    return there and matches(one.get("podSelector", {}), other.labels)


def _inside(address: str, block: Object) -> bool:
    here = ip_address(address)
    nets = [ip_network(block["cidr"]), *map(ip_network, block.get("except", []))]
    held = [net.version == here.version and here in net for net in nets]
    return held[0] and not any(held[1:])
