"""What deployments have in common: the services, their ports, what they need, and how long they may take to stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.tool_gateway.catalogue.limits import LONGEST_SECONDS
from shared.bus import topics
from shared.models.models_file import PROVIDERS
from shared.models.registry import TIMEOUT_SECONDS

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"

NAMESPACE: Final = "viox"
IMAGE: Final = "ghcr.io/viox-os/viox"
VERSION: Final = "0.1.0"
PORT: Final = 8080  # of every service, each being in a network of its own
USER: Final = 65532  # of the image
BUSINESS: Final = "/etc/viox/business"  # where files about the business are
GATEWAY, CONSOLE = topics.GATEWAY, "console"
SERVICES: Final = (GATEWAY, *topics.AGENTS, CONSOLE)

# A partition is one replica's at a time: what is more than these has nothing to do.
PARTITIONS: Final = 6
MOST_REPLICAS: Final = PARTITIONS

# At a stop the longest call is waited for: of a tool, what its document may ask for; of a model, what adapters wait.
DRAIN_SECONDS: Final = {"tools": int(LONGEST_SECONDS) + 10, "models": int(TIMEOUT_SECONDS) + 10}
CLOSE_SECONDS: Final = 50  # for the rest: webhooks, outcomes, the outbox, connections

ARCHIVIST, RETENTION = "viox_archivist", "retention"  # its login, and the job that has it
# login role of each service in Postgres → the group whose rights it has; they are made by whoever runs Postgres.
LOGINS: Final = {f"viox_{name.replace('-', '_')}": "viox_agents" for name in topics.AGENTS} | {
    "viox_gateway": "viox_gateways",
    "viox_console": "viox_operators",
    "viox_operator_cli": "viox_operators",
    "viox_reader": "viox_readers",
    "viox_query": "viox_askers",
    ARCHIVIST: "viox_archivists",
}
GROUPS: Final = tuple(dict.fromkeys(LOGINS.values()))
OWNER: Final = "viox"
DATABASE: Final = "viox"
MODEL_KEYS: Final = tuple(key for key, _, _ in PROVIDERS.values())


@dataclass(frozen=True, slots=True)
class Service:
    """One service as a deployment sees it. Sizes are from measurement (docs/kubernetes.md)."""

    name: str
    cpu: str
    memory: str
    memory_limit: str

    @property
    def module(self) -> str:
        folder = "tool_gateway" if self.name == GATEWAY else self.name.replace("-", "_")
        return f"services.{folder}.main"

    @property
    def is_agent(self) -> bool:
        return self.name in topics.AGENTS

    @property
    def on_kafka(self) -> bool:
        return self.name != CONSOLE

    @property
    def login(self) -> str:
        return f"viox_{self.name.replace('-', '_')}"

    @property
    def drain_seconds(self) -> int:
        return DRAIN_SECONDS["models" if self.is_agent else "tools"]

    @property
    def grace_seconds(self) -> int:
        return self.drain_seconds + CLOSE_SECONDS if self.on_kafka else 30


def service(name: str) -> Service:
    if name == GATEWAY:
        return Service(name, "500m", "384Mi", "1Gi")
    if name == CONSOLE:
        return Service(name, "100m", "192Mi", "512Mi")
    return Service(name, "200m", "256Mi", "768Mi")


def every_service() -> list[Service]:
    return [service(name) for name in SERVICES]
