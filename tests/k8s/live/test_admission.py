"""What the API server takes and refuses, before anything is installed: schemas, rules in CEL, defaults, quantities, names."""

from __future__ import annotations

import pytest

from tests.k8s import rendering
from tests.k8s.check import BAD
from tests.k8s.live.client import Client
from viox.deploy.facts import DEPLOY

K8S = DEPLOY / "k8s"


@pytest.mark.parametrize("name", rendering.OVERLAYS)
def test_an_overlay_is_taken_as_it_is(cluster: Client, name: str) -> None:
    text = rendering.overlay(name)
    said = cluster.apply(text, "--dry-run=server", "-o", "name")
    assert len(said.splitlines()) == len(rendering.objects(text))


def test_the_cluster_that_is_restored_is_taken(cluster: Client) -> None:
    cluster.apply((K8S / "restore" / "cluster.yaml").read_text(), "--dry-run=server")


def test_every_component_is_in_an_overlay() -> None:
    found = {kind for name in rendering.OVERLAYS for kind in kinds(rendering.overlay(name))}
    components = [path for path in (K8S / "components").iterdir() if path.is_dir()]
    assert len(components) >= 7
    for path in components:
        for file in path.glob("*.yaml"):
            made = rendering.objects(file.read_text())
            assert {key(one) for one in made if "kustomize" not in one["apiVersion"]} <= found, file


def kinds(text: str) -> set[tuple[str, str]]:
    return {key(one) for one in rendering.objects(text)}


def key(one: dict[str, dict[str, str]]) -> tuple[str, str]:
    return str(one["kind"]), one["metadata"]["name"]


KAFKA_USER = K8S / "base" / "closer" / "kafka-user.yaml"
POSTGRES = K8S / "base" / "postgres" / "cluster.yaml"
SCALED = K8S / "components" / "keda" / "closer.yaml"
ROUTES = K8S / "base" / "routes" / "routes.yaml"
DEPLOYMENT = K8S / "base" / "closer" / "deployment.yaml"
REFUSED = {
    **{name: (KAFKA_USER, *change) for name, change in BAD.items()},
    "a database of no instances": (POSTGRES, "instances: 3", "instances: 0"),
    "a trigger that is misspelt": (SCALED, "  triggers:\n", "  trigger:\n"),
    "a path that does not begin with a slash": (ROUTES, "value: /webhooks", "value: webhooks"),
    "a quantity that is none": (DEPLOYMENT, "memory: 768Mi", "memory: 768 megabytes"),
    "a probe on a port that is not there": (DEPLOYMENT, "port: http\n", "port: HTTP_\n"),
    "a selector that does not select its template": (
        DEPLOYMENT,
        "matchLabels:\n      app.kubernetes.io/name: closer",
        "matchLabels:\n      app.kubernetes.io/name: voice",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_broken_is_refused(cluster: Client, name: str) -> None:
    file, what, by = REFUSED[name]
    good = file.read_text()
    bad = good.replace(what, by)
    assert bad != good
    cluster.apply(good, "--dry-run=server")
    said = cluster.ask("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=bad)
    assert said.code, said.out
