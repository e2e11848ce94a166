"""Production after `kubectl apply`: everything comes up, and finds what it refers to."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.k8s.live import nodes
from tests.k8s.live.client import Refused
from tests.k8s.live.conftest import System
from tests.k8s.live.references import Kept, hosts, unresolved
from viox.deploy import workloads
from viox.deploy.documents import Object
from viox.deploy.facts import SERVICES


def test_two_pods_of_each_service_are_ready_in_two_zones(system: System) -> None:
    for name in SERVICES:
        pods = system.pods(f"app.kubernetes.io/name={name}")
        assert len(pods) == 2, name
        assert len({nodes.zone_of(pod["spec"]["nodeName"]) for pod in pods}) == 2, name


def test_the_job_that_migrates_completes(system: System) -> None:
    system.client.wait("Complete", f"job/{workloads.job()['metadata']['name']}")


def test_applied_again_nothing_changes(system: System) -> None:
    before = generations(system)
    system.client.apply(system.text)
    assert generations(system) == before
    assert len(before) > 20


def generations(system: System) -> dict[str, int]:
    found = system.client.all("deployments,jobs,kafkausers,kafkatopics,clusters.postgresql.cnpg.io,networkpolicies")
    return {f"{one['kind']} {one['metadata']['name']}": one["metadata"].get("generation", 0) for one in found}


def test_a_job_is_not_changed_under_its_name(system: System) -> None:
    """So each release brings a job of its own."""
    job = workloads.job()
    job["metadata"]["namespace"] = "viox"
    job["spec"]["template"]["spec"]["containers"][0]["image"] += "-next"
    said = system.client.try_out(job)
    assert said.code
    assert "immutable" in said.err


def test_every_secret_and_file_that_a_pod_needs_is_there(system: System) -> None:
    kept = Kept.of(system.client.all("secrets,configmaps"))
    wanted = {pod["metadata"]["name"]: unresolved(pod["spec"], kept) for pod in system.pods()}
    assert {name: missing for name, missing in wanted.items() if missing} == {}


@pytest.mark.parametrize("lost", ["viox-closer", "viox-postgres-ca", "viox-business"])
def test_a_secret_that_is_not_there_is_missed(system: System, lost: str) -> None:
    kept = Kept.of(
        [one for one in system.client.all("secrets,configmaps") if not one["metadata"]["name"].startswith(lost)]
    )
    assert unresolved(system.pods("app.kubernetes.io/name=closer")[0]["spec"], kept)


def test_every_host_that_a_pod_is_told_is_a_service_with_a_ready_pod(system: System) -> None:
    doors = endpoints(system.client.all("endpointslices"))
    told = {host for pod in system.pods("app.kubernetes.io/part-of=viox") for host in hosts(pod["spec"])}
    assert len(told) > 10
    assert told <= doors
    for route in system.client.all("httproutes"):
        backends = [backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]
        assert {f"{one['name']}:{one['port']}" for one in backends} <= doors
    assert urlsplit(f"//{next(iter(told))}").port
    assert "viox-postgres-rw:1" not in doors


def endpoints(slices: list[Object]) -> set[str]:
    """`service:port` where a ready pod stands behind it; ports of pods and of Services are the same numbers here."""
    return {
        f"{one['metadata']['labels']['kubernetes.io/service-name']}:{port['port']}"
        for one in slices
        if any(end["conditions"].get("ready") for end in one.get("endpoints") or [])
        for port in one.get("ports") or []
    }


def test_a_wait_in_vain_is_a_failure(system: System) -> None:
    with pytest.raises(Refused):
        system.client("wait", "--for=condition=Failed", "--timeout=1s", "deployment/closer")
