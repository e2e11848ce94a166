"""Steward's flow: triage (the role's rules) → think → (act → wait → triage → think)*."""

from __future__ import annotations

from services.steward import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("triage", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("triage")
    flow.add_edge("triage", "work")
    return flow
