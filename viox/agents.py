"""The agents of this version: their code, loaded when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.runtime.agent import AgentSpec
    from shared.runtime.questions import Question


def spec_of(agent: str) -> AgentSpec:
    """The agent of that name, with hyphens."""
    package = agent.replace("-", "_")
    found: AgentSpec = getattr(importlib.import_module(f"services.{package}.agent"), package.upper())
    return found


def questions_of(agent: str) -> dict[str, Question[Any]]:
    """What the agent asks a model, by the question's name."""
    from shared.runtime.questions import questions_in

    return questions_in(importlib.import_module(f"services.{agent.replace('-', '_')}.prompts"))
