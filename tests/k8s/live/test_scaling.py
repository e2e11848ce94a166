"""What KEDA is told to do. KEDA itself is not run: that it follows is not shown here."""

from __future__ import annotations

import copy

import pytest

from tests.k8s.live.conftest import System
from viox.deploy import rules
from viox.deploy.documents import Object
from viox.deploy.facts import MOST_REPLICAS, SERVICES

KINDS = "scaledobjects,kafkatopics,deployments"


@pytest.fixture
def kept(system: System) -> list[Object]:
    """As the API server has them."""
    return system.client.all(KINDS)


def scaled(objects: list[Object]) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == "ScaledObject"}


def test_every_service_on_kafka_is_scaled_and_is_there(kept: list[Object]) -> None:
    assert set(scaled(kept)) == set(SERVICES) - {"console"}
    there = {one["metadata"]["name"] for one in kept if one["kind"] == "Deployment"}
    assert {one["spec"]["scaleTargetRef"]["name"] for one in scaled(kept).values()} <= there


def test_no_limit_is_above_the_partitions_of_what_is_consumed(kept: list[Object]) -> None:
    assert list(rules.partitions_for_every_replica(kept)) == []
    assert list(rules.scaling_looks_at_what_is_consumed(kept)) == []


def test_a_limit_above_them_is_found(kept: list[Object]) -> None:
    found = copy.deepcopy(kept)
    scaled(found)["voice"]["spec"]["maxReplicaCount"] = MOST_REPLICAS + 1
    assert len(list(rules.partitions_for_every_replica(found))) > 0


def test_as_many_as_the_limit_says_find_room(system: System) -> None:
    """What KEDA would do under load, on the nodes that there are."""
    system.client("scale", "deployment/builder", f"--replicas={MOST_REPLICAS}")
    system.wait()
    pods = system.pods("app.kubernetes.io/name=builder")
    assert len(pods) == MOST_REPLICAS
    assert len({pod["spec"]["nodeName"] for pod in pods}) == MOST_REPLICAS
    system.client("scale", "deployment/builder", "--replicas=2")
    system.wait()


def test_applying_does_not_take_back_what_was_scaled(system: System) -> None:
    system.client("scale", "deployment/builder", "--replicas=4")
    system.client("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=system.text)
    assert system.client.one("deployment", "builder")["spec"]["replicas"] == 4
    system.client("scale", "deployment/builder", "--replicas=2")
    system.wait()
