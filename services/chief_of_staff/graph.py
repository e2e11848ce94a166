"""Chief of Staff's flow: gather (the role's rules) → think → (act → wait → gather → think)*."""

from __future__ import annotations

from services.chief_of_staff import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("gather", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("gather")
    flow.add_edge("gather", "work")
    return flow
