"""Signing in to the console by OpenID Connect, for deployments that have a provider: its secret, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import yaml

from viox.deploy import network
from viox.deploy.documents import Object, component, dump
from viox.deploy.facts import CONSOLE

SECRET: Final = "viox-oidc"  # noqa: S105  # a name
KEY: Final = "VIOX_OIDC_CLIENT_SECRET"
ISSUER: Final = "VIOX_OIDC_ISSUER"  # which provider, and as which client, the overlay says


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    add = [{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": client_secret()}]
    patch = {"target": {"kind": "Deployment", "name": CONSOLE}, "patch": yaml.safe_dump(add, sort_keys=False)}
    yield "oidc/policy.yaml", dump(network.of_sign_in())
    yield "oidc/kustomization.yaml", component(["policy.yaml"], patches=[patch])


def client_secret() -> Object:
    """A public client has none."""
    return {"name": KEY, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": KEY, "optional": True}}}
