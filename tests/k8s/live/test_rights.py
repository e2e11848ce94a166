"""No service of ours may ask the API server for anything, and none holds a token with which it could."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.k8s.live.client import Client, text_of
from tests.k8s.live.conftest import System
from viox.deploy.documents import Object
from viox.deploy.facts import NAMESPACE, SERVICES

# What Kubernetes lets every account do: ask who it is and what it may, and read what is public.
EVERYBODY = {
    "clustertrustbundles.certificates.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
}
ASKED = (
    ("get", "secrets"),
    ("list", "pods"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("patch", "deployments"),
    ("*", "*"),
)


def user(account: str) -> str:
    return f"--as=system:serviceaccount:{NAMESPACE}:{account}"


def may(client: Client, account: str) -> set[str]:
    """The resources that an account may do anything with."""
    lines = client("auth", "can-i", "--list", "--no-headers", user(account)).splitlines()
    return {line.split()[0] for line in lines if line and not line[0].isspace()}


@pytest.mark.parametrize("name", [*SERVICES, "default"])
def test_an_account_has_no_right(system: System, name: str) -> None:
    assert may(system.client, name) == EVERYBODY
    for verb, what in ASKED if name in ("gateway", "default") else ASKED[:1]:
        said = system.client.ask("auth", "can-i", verb, what, user(name))
        assert (said.code, said.out.strip()) == (1, "no"), (verb, what)


def test_a_right_that_is_given_is_seen(system: System) -> None:
    system.client("create", "rolebinding", "wide", "--clusterrole=view", f"--serviceaccount={NAMESPACE}:closer")
    try:
        system.client.until("it is seen", lambda: "pods" in may(system.client, "closer"))
        assert system.client("auth", "can-i", "list", "pods", user("closer")).strip() == "yes"
    finally:
        system.client("delete", "rolebinding", "wide")


def test_nobody_is_bound_to_a_role_in_our_namespace(system: System) -> None:
    assert system.client.all("rolebindings,roles") == []


def tokens(pod: Object) -> list[Any]:
    """Volumes that hold a token for the API server."""
    sources = [
        source for volume in pod["spec"].get("volumes", []) for source in volume.get("projected", {}).get("sources", [])
    ]
    return [source for source in sources if "serviceAccountToken" in source]


def test_no_pod_is_given_a_token(system: System) -> None:
    pods = system.client.all("pods", "-l", "app.kubernetes.io/part-of=viox")
    assert {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods} >= {*SERVICES, "migrate"}
    assert [pod["metadata"]["name"] for pod in pods if tokens(pod)] == []
    kept = system.client.all("secrets", "--field-selector=type=kubernetes.io/service-account-token")
    assert kept == []


def test_a_token_that_is_given_is_seen(system: System) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "another", "namespace": "stranger"}}
    container = {"name": "main", "image": "example.com/neighbour:1"}
    text = text_of(pod | {"spec": {"containers": [container], "serviceAccountName": "default"}})
    made = system.client("create", "--dry-run=server", "-n", "stranger", "-o", "json", "-f", "-", stdin=text)
    assert tokens(json.loads(made))
