"""Controller's flow: assess (the role's rules) → think → (act → wait → assess → think)*."""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph

from services.controller import domain
from shared.runtime.nodes import AgentState, RunContext, add_loop, rules


def graph() -> StateGraph[Any, Any, Any, Any]:
    flow = StateGraph(AgentState, context_schema=RunContext)
    flow.add_node("assess", rules(domain.facts))
    return add_loop(flow, entry="assess")
