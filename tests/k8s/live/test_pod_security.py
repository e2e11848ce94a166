"""The namespace takes restricted pods only: all of ours, and of each none that asks for more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.k8s import rendering
from tests.k8s.live.client import text_of
from tests.k8s.live.conftest import System
from viox.deploy.documents import Object
from viox.deploy.facts import NAMESPACE, SERVICES
from viox.deploy.reading import containers, pods

Spec = dict[str, Any]
TEMPLATES = (*(f"Deployment {name}" for name in SERVICES), "Job migrate-0-1-0", "CronJob retention")


@cache
def templates() -> dict[str, Object]:
    """Each pod as a template describes it: of a template itself the API server only warns."""
    found = {}
    for whose, labels, spec in pods(rendering.objects(rendering.overlay("production"))):
        name = whose.lower().replace(" ", "-")
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        found[whose] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"restartPolicy": "Never"} | spec,
        }
    return found


def first(spec: Spec) -> Spec:
    found: Spec = spec["containers"][0]["securityContext"]
    return found


MORE: dict[str, Callable[[Spec], object]] = {
    "privileged": lambda spec: first(spec).update(privileged=True, allowPrivilegeEscalation=True),
    "gaining privileges": lambda spec: first(spec).update(allowPrivilegeEscalation=True),
    "a capability": lambda spec: first(spec).update(capabilities={"add": ["NET_ADMIN"], "drop": ["ALL"]}),
    "all capabilities": lambda spec: first(spec).pop("capabilities"),
    "root": lambda spec: first(spec).update(runAsUser=0, runAsNonRoot=False),
    "no seccomp": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "the node's network": lambda spec: spec.update(hostNetwork=True),
    "the node's processes": lambda spec: spec.update(hostPID=True),
    "the node's files": lambda spec: spec["volumes"].append({"name": "node", "hostPath": {"path": "/etc"}}),
    "a port of the node": lambda spec: spec["containers"][0].update(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a first container that is privileged": lambda spec: containers(spec)[0]["securityContext"].update(
        privileged=True, allowPrivilegeEscalation=True
    ),
}


def test_every_template_is_there() -> None:
    assert set(templates()) == set(TEMPLATES)


@pytest.mark.parametrize("whose", TEMPLATES)
def test_a_template_passes_and_none_that_asks_for_more(system: System, whose: str) -> None:
    good = templates()[whose]
    said = system.client.try_out(good)
    assert said.code == 0, said.err
    worse = []
    for number, act in enumerate(MORE.values()):
        one = copy.deepcopy(good)
        one["metadata"]["name"] += f"-{number}"
        act(one["spec"])
        worse.append(one)
    said = system.client.try_out(*worse)
    assert said.out == "", "taken"
    assert said.err.count('violates PodSecurity "restricted:latest"') == len(MORE), said.err


def test_where_nothing_is_enforced_a_privileged_pod_is_taken(system: System) -> None:
    """It is our namespace that refuses it, and nothing else of this API server."""
    one = copy.deepcopy(templates()["Deployment closer"])
    MORE["privileged"](one["spec"])
    one["metadata"]["namespace"], one["spec"]["serviceAccountName"] = "stranger", "default"
    system.client("create", "--dry-run=server", "-n", "stranger", "-f", "-", stdin=text_of(one))


def test_pods_of_kafka_are_refused_as_strimzi_makes_them_by_itself(system: System) -> None:
    pod = system.client.one("pod", "viox-brokers-0")
    bare = {"name": "main", "image": "example.com/kafka:1"}
    metadata = {"name": "bare", "namespace": NAMESPACE, "labels": pod["metadata"]["labels"]}
    said = system.client.try_out(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [bare]}}
    )
    assert "violates PodSecurity" in said.err
