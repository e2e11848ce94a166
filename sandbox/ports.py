"""Which port is whose. With a base they are always the same; new ones come at the end, so that none ever moves."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.credentials import EMULATED
from sandbox.net import free_ports, require_free
from shared.bus.topics import AGENTS, GATEWAY

SERVICES = (GATEWAY, *AGENTS)
FIRST = ("console", *SERVICES, "hubspot", "twilio", "airtable", "kafka", "kafka-controller", "postgres")
NAMES = (*FIRST, *(name for name in (*EMULATED, "smtp") if name not in FIRST))


def choose(base: int, running: Collection[str]) -> dict[str, int]:
    """Ports by name; base 0 takes what is free. Raises BadInput when one that is needed is taken."""
    if base == 0:
        return dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
    ports = {name: base + place for place, name in enumerate(NAMES)}
    for name, port in ports.items():
        if name not in ("console", "postgres") and (name not in SERVICES or name in running):
            require_free(name, port)
    return ports
