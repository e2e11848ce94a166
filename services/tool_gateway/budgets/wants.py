"""What a call takes from which budget, read from its tool's document and its arguments. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.figures import Figures, Money, readable_figures
from shared.budgets import CALLS, MONEY, Budget, Budgets, in_words
from shared.bus import topics

BUSINESS = "business"
MOVES = "moves_money"


class Call(Protocol):
    """A call as far as budgets look at it."""

    @property
    def agent(self) -> str: ...
    @property
    def run_id(self) -> Any: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Item:
    """So much of one budget, for one run, agent, counterparty or the business."""

    name: str
    scope: str
    measure: str
    amount: int


@dataclass(slots=True)
class Wanted:
    """What a call takes, and budgets (name → why) that cannot say whether it is too much."""

    items: list[Item] = field(default_factory=list)
    uncounted: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.items or self.uncounted)


def concerns(budgets: Budgets, call: Call, tool: Tool | None) -> bool:
    """Whether any budget may have to be reserved for the call."""
    if tool is None or call.agent == topics.GATEWAY:
        return False
    return any(one.calls is not None or (one.money and MOVES in tool.risk) for one in budgets)


def wanted(budgets: Budgets, call: Call, tool: Tool) -> Wanted:
    """What the gateway does by itself, to tell people, takes from no budget."""
    found = Wanted()
    if not concerns(budgets, call, tool):
        return found
    figures = readable_figures(tool, call.arguments)
    for budget in budgets:
        for scope in _scopes(budget, call, figures):
            if budget.calls is not None:
                found.items.append(Item(budget.name, scope, CALLS, 1))
            if budget.money and MOVES in tool.risk:
                _money(budget, scope, figures.amount, found)
    return found


def _scopes(budget: Budget, call: Call, figures: Figures) -> Iterator[str]:
    match budget.of:
        case "run":
            yield str(call.run_id)
        case "agent":
            yield call.agent
        case "business":
            yield BUSINESS
        case "counterparty":
            yield from figures.counterparties


def _money(budget: Budget, scope: str, moved: Money | None, found: Wanted) -> None:
    """An amount without a currency counts in every one of the budget: nobody knows which it is."""
    if moved is None:
        found.uncounted[budget.name] = (
            f"the call does not say how much it moves, and the budget {budget.name} counts it"
        )
    elif not moved.currency:
        found.items += [
            Item(budget.name, scope, MONEY + currency, abs(moved.minor)) for currency in sorted(budget.money)
        ]
    elif moved.currency in budget.money:
        found.items.append(Item(budget.name, scope, MONEY + moved.currency, abs(moved.minor)))
    else:
        told = in_words(MONEY + moved.currency, moved.minor)
        found.uncounted[budget.name] = f"the budget {budget.name} has no limit for {told}"
