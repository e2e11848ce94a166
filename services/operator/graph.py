"""Operator's flow: plan (the role's rules) → think → (act → wait → plan → think)*."""

from __future__ import annotations

from services.operator import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("plan", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("plan")
    flow.add_edge("plan", "work")
    return flow
