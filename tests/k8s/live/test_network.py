"""Who reaches whom, by the policies and labels that are on the API server. That a network enforces them is not tried here."""

from __future__ import annotations

from typing import Final

import pytest

from shared.bus import topics
from tests.k8s.live.conftest import System
from tests.k8s.live.reach import Peer, of_pod, reaches, unselected
from viox.deploy import network
from viox.deploy.facts import NAMESPACE, SERVICES
from viox.deploy.workloads import MIGRATE

# What is asked for → (whom, on which port). `agent` stands for each agent but the one that asks.
TARGETS: Final = {
    "kafka": ("broker", 9093),
    "inner": ("broker", 9091),  # what brokers have among themselves
    "postgres": ("postgres", 5432),
    "pgstats": ("postgres", 9187),
    "gateway": ("gateway", 8080),
    "agent": ("agent", 8080),
    "console": ("console", 8080),
    "traces": ("collector", 4318),
    "https": ("203.0.113.7", 443),
    "http": ("203.0.113.7", 80),
    "api": ("10.96.0.1", 443),
    "cloud": ("169.254.169.254", 80),  # where clouds hand out their machines' credentials
    "dns": ("kube-system", 53),
}
TABLE: Final = """
            kafka inner postgres pgstats gateway agent console traces https http api cloud dns
agent         x     .      x        .       .      .      .      x      x     .    .    .    x
gateway       x     .      x        .       .      .      .      x      x     x    .    .    x
console       .     .      x        .       x      x      .      .      .     .    .    .    x
migrate       .     .      x        .       .      .      .      .      .     .    .    .    x
broker        .     x      .        .       .      .      .      .      x     .    x    .    x
entities      .     x      .        .       .      .      .      .      x     .    x    .    x
postgres      .     .      x        .       .      .      .      .      x     .    x    .    x
prometheus    .     .      .        x       x      x      x      -      -     -    -    -    -
door          .     .      .        .       x      .      x      -      -     -    -    -    -
operators     x     .      x        .       .      .      .      -      -     -    -    -    -
stranger      .     .      .        .       .      .      .      -      -     -    -    -    -
"""  # `-`: nobody's business of ours
COLUMNS: Final = TABLE.split("\n")[1].split()
WANTED: Final = {line.split()[0]: line.split()[1:] for line in TABLE.splitlines()[2:] if line}


class Map:
    """The pods that there are, by the names of the table, and the policies."""

    def __init__(self, system: System) -> None:
        spaces = {one["metadata"]["name"]: one["metadata"]["labels"] for one in system.everywhere("namespaces")}
        self.policies = system.everywhere("networkpolicies")
        self.pods: dict[str, list[Peer]] = {}
        for pod in system.everywhere("pods"):
            peer = of_pod(pod, spaces)
            self.pods.setdefault(named(peer), []).append(peer)
        self.ours = [peer for peers in self.pods.values() for peer in peers if peer.namespace == NAMESPACE]

    def row(self, name: str) -> list[str]:
        return [
            "-" if wanted == "-" else self.cell(name, what) for what, wanted in zip(COLUMNS, WANTED[name], strict=True)
        ]

    def cell(self, name: str, what: str) -> str:
        """`x` where each reaches each, `.` where none does, `?` where only some do."""
        whom, port = TARGETS[what]
        protocol = "UDP" if port == 53 else "TCP"
        targets = self.standing_for(whom) if whom[0].isalpha() else [Peer(whom)]
        found = {
            reaches(source, target, port, self.policies, protocol)
            for source in self.standing_for(name)
            for target in targets
            if source != target
        }
        return {frozenset({True}): "x", frozenset({False}): "."}.get(frozenset(found), "?")

    def standing_for(self, name: str) -> list[Peer]:
        if name == "agent":
            return [peer for each in topics.AGENTS for peer in self.pods[each]]
        return self.pods[name]


def named(peer: Peer) -> str:
    if peer.namespace != NAMESPACE:
        return peer.namespace
    strimzi = {"viox-kafka": "broker", "viox-entity-operator": "entities"}.get(peer.labels.get("strimzi.io/name", ""))
    postgres = "postgres" if "cnpg.io/cluster" in peer.labels else None
    return strimzi or postgres or peer.labels["app.kubernetes.io/name"]


@pytest.fixture(scope="module")
def here(system: System) -> Map:
    return Map(system)


@pytest.mark.parametrize("name", WANTED)
def test_who_reaches_whom(here: Map, name: str) -> None:
    found = dict(zip(COLUMNS, here.row(name), strict=True))
    assert found == dict(zip(COLUMNS, WANTED[name], strict=True))


def test_the_table_is_about_every_pod(here: Map) -> None:
    known = {*WANTED, *topics.AGENTS, "kube-system", "collector"} - {"agent"}
    assert set(here.pods) == known
    assert all(len(here.pods[name]) >= 2 for name in SERVICES)
    assert len(here.pods[MIGRATE]) >= 1


def test_every_pod_is_selected_in_both_directions(here: Map) -> None:
    assert unselected(here.ours, here.policies) == []


def test_a_pod_that_no_policy_selects_is_found(here: Map) -> None:
    without = [one for one in here.policies if one["metadata"]["name"] not in ("default-deny", "dns", "closer")]
    assert {pod.labels["app.kubernetes.io/name"] for pod in unselected(here.pods["closer"], without)} == {"closer"}


# Policy that is left out → (whose row changes, in which column, to what).
LEFT_OUT: Final = {
    "closer": ("agent", "kafka", "?"),
    "gateway": ("gateway", "https", "."),
    "console": ("console", "postgres", "."),
    "migrate": ("migrate", "postgres", "."),
    "model-apis": ("agent", "https", "."),
    "telemetry": ("gateway", "traces", "."),
    "kafka": ("broker", "api", "."),
    "postgres": ("gateway", "postgres", "."),
    "dns": ("console", "dns", "."),
    "viox-network-policy-kafka": ("agent", "kafka", "."),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_policy_that_is_left_out_changes_the_table(here: Map, name: str) -> None:
    row, column, becomes = LEFT_OUT[name]
    all_of_them = here.policies
    here.policies = [one for one in all_of_them if one["metadata"]["name"] != name]
    try:
        assert dict(zip(COLUMNS, here.row(row), strict=True))[column] == becomes
    finally:
        here.policies = all_of_them


def test_with_a_provider_to_sign_in_the_console_gets_out_by_https_only(here: Map) -> None:
    added = network.of_sign_in()
    added["metadata"]["namespace"] = NAMESPACE
    all_of_them = here.policies
    here.policies = [*all_of_them, added]
    try:
        changed = dict(zip(COLUMNS, here.row("console"), strict=True))
    finally:
        here.policies = all_of_them
    assert changed == dict(zip(COLUMNS, WANTED["console"], strict=True)) | {"https": "x"}
