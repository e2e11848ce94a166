"""The two doors to the outside, by Gateway API: vendors' webhooks and live calls to the gateway, people to the console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from viox.deploy.documents import PART_OF, Object, dump, kustomization, made
from viox.deploy.facts import CONSOLE, GATEWAY, PORT

API: Final = "gateway.networking.k8s.io/v1"
DOOR: Final = "viox"
HOOKS, PAGES = "hooks.example.com", "console.example.com"
OUTWARD: Final = ("/webhooks", "/v1/tools")  # of the gateway's port; the rest of it is for the cluster only


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/base, content)."""
    yield "routes/gateway.yaml", dump(door())
    yield "routes/routes.yaml", dump(route(GATEWAY, HOOKS, *OUTWARD), route(CONSOLE, PAGES, "/"))
    yield "routes/kustomization.yaml", kustomization(["gateway.yaml", "routes.yaml"])


def door() -> Object:
    listeners = [
        {
            "name": name,
            "hostname": host,
            "port": 443,
            "protocol": "HTTPS",
            "tls": {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": "viox-tls"}]},
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
        for name, host in ((GATEWAY, HOOKS), (CONSOLE, PAGES))
    ]
    return made(API, "Gateway", DOOR, PART_OF, {"gatewayClassName": "viox", "listeners": listeners})


def route(service: str, host: str, *paths: str) -> Object:
    spec = {
        "parentRefs": [{"name": DOOR, "sectionName": service}],
        "hostnames": [host],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths],
                "backendRefs": [{"name": service, "port": PORT}],
            }
        ],
    }
    return made(API, "HTTPRoute", service, service, spec)
