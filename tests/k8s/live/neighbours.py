"""Namespaces beside ours, each with a pod: those that our policies know by a label, and a stranger's."""

from __future__ import annotations

from typing import Final

from tests.k8s.live.client import Client, text_of
from viox.deploy.documents import Object

SPACES: Final = {
    "prometheus": {"viox.dev/monitoring": "allowed"},
    "door": {"viox.dev/ingress": "allowed"},
    "operators": {"viox.dev/operators": "allowed"},
    "collector": {"viox.dev/telemetry": "allowed"},
    "stranger": {},
    "kube-system": {},
}
LABELS: Final = {"kube-system": {"k8s-app": "kube-dns"}}


def move_in(client: Client) -> None:
    client.apply(text_of(*(_space(name) for name in SPACES if name != "kube-system")))
    for name in SPACES:
        client.until(f"{name} has an account", lambda of=name: not client.ask("get", "sa", "default", "-n", of).code)  # type: ignore[misc]
        client("apply", "--server-side", "-n", name, "-f", "-", stdin=text_of(_pod(name)))
        client.wait("Ready", "pod/one", "-n", name)


def _space(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": SPACES[name]}}


def _pod(space: str) -> Object:
    metadata = {"name": "one", "namespace": space, "labels": LABELS.get(space, {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [_container()]}}


def _container() -> Object:
    return {"name": "main", "image": "example.com/neighbour:1"}
