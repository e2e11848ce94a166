"""What a stack is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.ports import SERVICES

DEFAULT_PORT_BASE = 8080


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: which services how often, which broker, where state and ports are."""

    home: Path
    only: tuple[str, ...] = SERVICES
    replicas: Mapping[str, int] = field(default_factory=dict)
    broker: str = "embedded"
    port_base: int = DEFAULT_PORT_BASE
    foreground: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    models: str | None = None  # offline, wire or real; None is real where there is a key
    model_faults: str | None = None  # a file: what goes wrong at the sandbox's model servers
