"""What is written in `deploy/compose`, as rules see it, and the keys of Compose that it uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from viox.deploy.compose import files
from viox.deploy.documents import Object
from viox.deploy.facts import DEPLOY

FOLDER: Final = DEPLOY / "compose"
INTERPOLATED: Final = re.compile(r"(?<!\$)(?:\$\$)*\$\{(\w+)(:[?-])?([^}]*)\}")

KEYS: Final[dict[str, type | tuple[type, ...]]] = {
    "image": str,
    "build": dict,
    "command": list,
    "entrypoint": list,
    "profiles": list,
    "restart": str,
    "user": str,
    "read_only": bool,
    "cap_drop": list,
    "security_opt": list,
    "deploy": dict,
    "logging": dict,
    "environment": dict,
    "configs": list,
    "secrets": list,
    "volumes": list,
    "tmpfs": list,
    "shm_size": str,
    "networks": list,
    "network_mode": str,
    "ports": list,
    "depends_on": dict,
    "healthcheck": dict,
    "stop_grace_period": str,
}
OF_HEALTH: Final = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
OF_FILE: Final = {"source", "target"}
OF_VOLUME: Final = {"type", "source", "target", "read_only"}
TOP: Final = {"name", "services", "networks", "volumes", "secrets", "configs"}


@dataclass(frozen=True, slots=True)
class Written:
    """What is in `deploy/compose`."""

    compose: Object
    grafana_port: Object
    prometheus: Object
    broker: dict[str, str]
    example: tuple[str, ...]  # settings of `.env`
    roles: str

    @property
    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = self.compose["services"]
        return found


def read(folder: Path = FOLDER) -> Written:
    compose, port, prometheus = (
        yaml.safe_load((folder / name).read_text()) for name in ("compose.yaml", "grafana-port.yaml", "prometheus.yaml")
    )
    broker = files.properties((folder / "kafka" / "server.properties").read_text())
    example = tuple(files.properties((folder / "env.example").read_text()))
    return Written(compose, port, prometheus, broker, example, (folder / "postgres" / "roles.sql").read_text())


def interpolated(one: Object) -> set[str]:
    """Settings of `.env` that a service is given."""
    words = [*one.get("environment", {}).values(), *one.get("command", []), *one.get("ports", [])]
    return {found[1] for word in words for found in INTERPOLATED.finditer(str(word))}


def joined(written: Written, name: str) -> set[str]:
    """Networks that a service is in."""
    one = written.services.get(name, {})
    mode = one.get("network_mode", "")
    return joined(written, mode.removeprefix("service:")) if mode else set(one.get("networks", ["default"]))
