"""What Builder listens to and which conversation an event belongs to.

Events: viox.automation.requested, com.n8n.execution.failed, com.make.scenario.failed.
"""

from __future__ import annotations

from services.builder.graph import graph
from services.builder.offline import policy
from services.builder.prompts import SYSTEM
from shared.bus.envelope import Message
from shared.runtime.agent import AgentSpec


def conversation(event: Message) -> str:
    """One conversation per requested automation, workflow or scenario."""
    data = event.data
    known = data.get("request_id") or data.get("workflow", {}).get("id") or data.get("scenarioId")
    return f"automation:{known or event.id}"


BUILDER = AgentSpec("builder", SYSTEM, conversation, graph, policy)
