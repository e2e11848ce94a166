"""The agents of this version: their code, loaded when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.runtime.agent import AgentSpec


def spec_of(agent: str) -> AgentSpec:
    """The agent of that name, with hyphens."""
    package = agent.replace("-", "_")
    found: AgentSpec = getattr(importlib.import_module(f"services.{package}.agent"), package.upper())
    return found
