"""Controller's flow: assess (the role's rules) → think → (act → wait → assess → think)*."""

from __future__ import annotations

from services.controller import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("assess", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("assess")
    flow.add_edge("assess", "work")
    return flow
