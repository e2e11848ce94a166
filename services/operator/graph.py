"""Operator's flow: plan (deterministic) → think → (act → wait)* → conclude."""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph
from langgraph.runtime import Runtime

from services.operator import domain
from shared.runtime.nodes import AgentState, RunContext, add_loop, last_trigger, note


async def plan(state: AgentState, runtime: Runtime[RunContext]) -> AgentState:
    """Put what the rules say about the trigger before the model."""
    trigger = last_trigger(state)
    found = domain.facts(trigger) if trigger else None
    return note(state, runtime, found) if found else {"steps": state.get("steps", [])}


def graph() -> StateGraph[Any, Any, Any, Any]:
    flow = StateGraph(AgentState, context_schema=RunContext)
    flow.add_node("plan", plan)
    return add_loop(flow, entry="plan")
