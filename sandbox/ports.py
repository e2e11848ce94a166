"""Which port is whose. With a base they are always the same; new ones come at the end, so that none ever moves."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.credentials import CONSOLE, EMULATED, MODELS
from sandbox.net import Reserved
from shared.bus.topics import AGENTS, GATEWAY
from shared.errors import BadInput

SERVICES = (GATEWAY, *AGENTS, CONSOLE)
FIRST = (CONSOLE, GATEWAY, *AGENTS, "hubspot", "twilio", "airtable", "kafka", "kafka-controller", "postgres")
NAMES = (*FIRST, *(name for name in (*EMULATED, "smtp") if name not in FIRST), MODELS, "imap")


def choose(base: int, running: Collection[str], reserved: Reserved) -> dict[str, int]:
    """Ports by name, reserved where they are needed; base 0 takes what is free. Raises BadInput when one is taken."""
    if base == 0:
        return {name: reserved.any() for name in NAMES}
    ports = {name: base + place for place, name in enumerate(NAMES)}
    for name in NAMES:
        if name in (*SERVICES, MODELS) and name not in running:
            continue
        try:
            ports[name] = reserved.exactly(name, ports[name])
        except BadInput:
            if name != "postgres":  # which stops a server of its own that was left behind
                raise
    return ports
