"""Closer's flow: qualify (the role's rules) → think → (act → wait → qualify → think)*."""

from __future__ import annotations

from services.closer import domain
from shared.runtime.flow import Flow, rules


def graph() -> Flow:
    flow = Flow()
    flow.add_node("qualify", rules(domain.facts))
    flow.add_open_loop("work")
    flow.begin("qualify")
    flow.add_edge("qualify", "work")
    return flow
