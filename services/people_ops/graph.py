"""People Ops's flow: screen (the role's rules) → think → (act → wait → screen → think)*."""

from __future__ import annotations

from services.people_ops import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("screen", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("screen")
    flow.add_edge("screen", "work")
    return flow
