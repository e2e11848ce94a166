"""What policies come to: who may do what, and which rules can never matter. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.rules import Rule
from services.tool_gateway.policy.schema import CALLERS


@dataclass(frozen=True, slots=True)
class May:
    """One granted tool of an agent, with the rules that can be about it. Without a permit it is never allowed."""

    agent: str
    tool: str
    permits: tuple[Rule, ...]
    forbids: tuple[Rule, ...]

    @property
    def says(self) -> str:
        """In a word: `never`, `with a person`, `under conditions`, `always`."""
        enforced = [rule for rule in self.forbids if rule.mode == "enforce"]
        if not self.permits or any(not rule.conditions for rule in enforced):
            return "never"
        if any(rule.lifted_by_person and rule.conditions == 1 for rule in enforced):
            return "with a person"
        return "under conditions" if enforced or all(rule.conditions for rule in self.permits) else "always"


def who_may(policies: Policies, catalogue: Catalogue) -> Iterator[May]:
    """Every agent and what it is granted."""
    for agent in CALLERS:
        for tool in sorted(catalogue.tools_of(agent) | catalogue.rules_of(agent)):
            about = policies.rules_about(tool, agent)
            permits = tuple(rule for rule in about if rule.effect == "permit")
            yield May(agent, tool, permits, tuple(rule for rule in about if rule.effect == "forbid"))


def never_match(policies: Policies, catalogue: Catalogue) -> list[Rule]:
    """Rules that are about nothing that any agent is granted."""
    met = {rule.id for may in who_may(policies, catalogue) for rule in (*may.permits, *may.forbids)}
    return [rule for rule in policies.rules if rule.id not in met]


def always_allow(policies: Policies) -> list[Rule]:
    """Permits for everybody and everything, without a condition."""
    return [
        rule
        for rule in policies.rules
        if rule.effect == "permit"
        and not rule.conditions
        and rule.reads.principal is None
        and rule.reads.actions is None
    ]
