"""Builder's flow: inspect (the role's rules) → think → (act → wait → inspect → think)*."""

from __future__ import annotations

from services.builder import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("inspect", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("inspect")
    flow.add_edge("inspect", "work")
    return flow
