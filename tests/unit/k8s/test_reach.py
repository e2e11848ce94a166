"""The evaluator of network policies does what Kubernetes says that policies mean."""

from __future__ import annotations

from typing import Any

import pytest

from tests.k8s.live.reach import Peer, reaches, types_of, unselected
from viox.deploy.documents import Object

A = Peer("10.1.0.1", "here", {"app": "a"}, {"kind": "ours"}, {"web": "8080"})
B = Peer("10.1.0.2", "here", {"app": "b"}, {"kind": "ours"}, {"web": "8080"})
THERE = Peer("10.1.0.3", "there", {"app": "a"}, {"kind": "theirs"})
OUTSIDE = Peer("203.0.113.7")


def policy(selector: dict[str, str], **spec: Any) -> Object:
    selected = {"matchLabels": selector} if selector else {}
    return {"metadata": {"name": "one", "namespace": "here"}, "spec": {"podSelector": selected, **spec}}


def to(*peers: Object, **more: Any) -> Object:
    return {"to": list(peers), **more}


def pods(**labels: str) -> Object:
    return {"podSelector": {"matchLabels": labels}}


def spaces(**labels: str) -> Object:
    return {"namespaceSelector": {"matchLabels": labels}}


ANY = {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}
PORT = {"protocol": "TCP", "port": 8080}
OUT = {"policyTypes": ["Egress"]}
IN = {"policyTypes": ["Ingress"]}

# What the policies are → (from, to, whether it gets there on TCP 8080).
CASES: list[tuple[str, list[Object], Peer, Peer, bool]] = [
    ("nothing is said", [], A, B, True),
    ("all is denied going out", [policy({}, **OUT)], A, B, False),
    ("all is denied coming in", [policy({}, **IN)], A, B, False),
    ("going out is denied, which says nothing of coming in", [policy({}, **OUT)], OUTSIDE, A, True),
    ("another pod is denied", [policy({"app": "b"}, **OUT)], A, B, True),
    ("another namespace's pod is denied", [policy({"app": "a"}, **OUT)], THERE, B, True),
    ("an empty rule lets all through", [policy({}, egress=[{}], **OUT)], A, OUTSIDE, True),
    ("a pod is named", [policy({}, egress=[to(pods(app="b"))], **OUT)], A, B, True),
    ("another pod is named", [policy({}, egress=[to(pods(app="c"))], **OUT)], A, B, False),
    ("a pod is named, of this namespace only", [policy({}, egress=[to(pods(app="a"))], **OUT)], A, THERE, False),
    ("a namespace is named", [policy({}, egress=[to(spaces(kind="theirs"))], **OUT)], A, THERE, True),
    ("another namespace is named", [policy({}, egress=[to(spaces(kind="ours"))], **OUT)], A, THERE, False),
    ("both in one peer", [policy({}, egress=[to(spaces(kind="theirs") | pods(app="b"))], **OUT)], A, THERE, False),
    ("either of two peers", [policy({}, egress=[to(spaces(kind="theirs"), pods(app="b"))], **OUT)], A, THERE, True),
    ("addresses are no pods", [policy({}, egress=[to({"ipBlock": ANY})], **OUT)], A, B, False),
    ("addresses", [policy({}, egress=[to({"ipBlock": ANY})], **OUT)], A, OUTSIDE, True),
    ("an address that is left out", [policy({}, egress=[to({"ipBlock": ANY})], **OUT)], A, Peer("10.9.9.9"), False),
    ("another kind of address", [policy({}, egress=[to({"ipBlock": ANY})], **OUT)], A, Peer("2001:db8::7"), False),
    ("the port", [policy({}, egress=[to(ports=[PORT])], **OUT)], A, B, True),
    ("another port", [policy({}, egress=[to(ports=[PORT | {"port": 80}])], **OUT)], A, B, False),
    ("another protocol", [policy({}, egress=[to(ports=[PORT | {"protocol": "UDP"}])], **OUT)], A, B, False),
    ("a range of ports", [policy({}, egress=[to(ports=[PORT | {"port": 8000, "endPort": 9000}])], **OUT)], A, B, True),
    ("a protocol on all ports", [policy({}, egress=[to(ports=[{"protocol": "TCP"}])], **OUT)], A, B, True),
    ("a port by its name", [policy({}, ingress=[{"ports": [{"port": "web"}]}], **IN)], B, A, True),
    ("a name that the pod has not", [policy({}, ingress=[{"ports": [{"port": "admin"}]}], **IN)], B, A, False),
    ("policies add up", [policy({}, **OUT), policy({"app": "a"}, egress=[{}], **OUT)], A, B, True),
    ("one side alone does not do", [policy({}, egress=[{}], **OUT), policy({}, **IN)], A, B, False),
    ("from outside", [policy({}, ingress=[{"from": [pods(app="b")]}], **IN)], OUTSIDE, A, False),
]


@pytest.mark.parametrize(
    ("policies", "source", "target", "gets"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_who_reaches_whom(policies: list[Object], source: Peer, target: Peer, gets: bool) -> None:
    assert reaches(source, target, 8080, policies) is gets


def test_directions_that_a_policy_does_not_name() -> None:
    assert types_of({"podSelector": {}}) == ["Ingress"]
    assert types_of({"podSelector": {}, "egress": [{}]}) == ["Ingress", "Egress"]


def test_pods_that_are_open_in_a_direction() -> None:
    denied = policy({}, policyTypes=["Ingress", "Egress"])
    assert unselected([A, B], [denied]) == []
    assert unselected([A, B], [policy({}, **IN), policy({"app": "a"}, **OUT)]) == [B]
    assert unselected([A], []) == [A, A]
