"""A node that is taken out of service: its pods go elsewhere, and the last one that serves is not taken away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.k8s.live import nodes
from tests.k8s.live.conftest import System
from viox.deploy.facts import DEPLOY

OURS = "app.kubernetes.io/part-of=viox"


@pytest.fixture(autouse=True)
def all_nodes_again(system: System) -> Iterator[None]:
    yield
    system.client("uncordon", *nodes.NAMES)
    system.wait()


def drain(system: System, node: str, pods: str, seconds: int = 300) -> tuple[int, str]:
    options = (f"--pod-selector={pods}", "--delete-emptydir-data", "--ignore-daemonsets", f"--timeout={seconds}s")
    said = system.client.ask("drain", node, *options)
    return said.code, said.all


def on(system: System, node: str, pods: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in system.pods(pods) if pod["spec"].get("nodeName") == node]


def node_of(system: System, pods: str) -> str:
    return str(system.pods(pods)[0]["spec"]["nodeName"])


def test_pods_move_to_other_nodes(system: System) -> None:
    node = node_of(system, "app.kubernetes.io/name=gateway")
    assert on(system, node, OURS)
    code, said = drain(system, node, OURS)
    assert code == 0, said
    assert not on(system, node, OURS)
    system.wait()


def test_the_last_pod_that_serves_stays(system: System) -> None:
    """There is room nowhere else: the first may go, because another serves; that one may not."""
    mine = "app.kubernetes.io/name=closer"
    system.client("cordon", *nodes.NAMES)
    code, said = drain(system, node_of(system, mine), mine)
    assert code == 0, said
    last = next(pod for pod in system.pods(mine) if pod["spec"].get("nodeName"))
    code, said = drain(system, last["spec"]["nodeName"], mine, seconds=8)
    assert code == 1
    assert "disruption budget" in said
    assert last["metadata"]["name"] in on(system, last["spec"]["nodeName"], mine)
    assert system.client.one("deployment", "closer")["status"]["availableReplicas"] == 1


def test_without_a_budget_it_would_be_taken_away(system: System) -> None:
    mine = "app.kubernetes.io/name=steward"
    system.client("delete", "poddisruptionbudget", "steward")
    system.client("cordon", *nodes.NAMES)
    for _ in range(2):
        placed = next(pod["spec"]["nodeName"] for pod in system.pods(mine) if pod["spec"].get("nodeName"))
        code, said = drain(system, placed, mine)
        assert code == 0, said
    assert not system.client.one("deployment", "steward")["status"].get("availableReplicas")
    system.client.apply((DEPLOY / "k8s" / "base" / "steward" / "disruption-budget.yaml").read_text())
