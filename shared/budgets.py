"""Budgets: what runs, agents and the business may spend. One file (VIOX_BUDGETS); ours beside this module without one.

    budgets:
      - {name: turns, of: run, per: run, tokens: 5000000, model_usd: "20.00"}
      - {name: partner, of: counterparty, per: day, calls: 200, money: {usd: "10000.00"}}

The gateway reads the file and publishes it; everybody else reads what it published. Inside, amounts are whole numbers:
tokens, calls, millionths of a dollar, minor units of a currency.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.money import as_written, places
from shared.yaml_file import read_file

OURS = Path(__file__).with_suffix(".yaml")
RULE = "budget:"  # before a budget's name: the rule because of which people are asked
MONEY = "money:"  # before a currency: what is measured
TOKENS, MODEL_USD, CALLS = "tokens", "model_usd", "calls"
MOST = 2**53  # JSON readers lose whole numbers above it
Count = Annotated[int, Field(ge=0, le=MOST)]
Amount = Annotated[Decimal, Field(ge=0, le=10**12, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern="^[a-z]{3}$")]


class Budget(BaseModel):
    """What one run, agent, counterparty or the business may use: in its whole run, or in a day of the business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,39}$")
    of: Literal["run", "agent", "counterparty", "business"]
    per: Literal["run", "day"]
    tokens: Count | None = None
    model_usd: Amount | None = None
    calls: Count | None = None
    money: dict[Currency, Amount] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _makes_sense(self) -> Budget:
        if (self.of == "run") != (self.per == "run"):
            raise ValueError("a run's budget is per run, every other one per day")
        if self.of == "counterparty" and (self.tokens is not None or self.model_usd is not None):
            raise ValueError("a counterparty's budget is one of calls and money; models are not asked for one")
        if not self.limits:
            raise ValueError("say how much: tokens, model_usd, calls or money")
        for currency, amount in self.money.items():
            if amount.scaleb(places(currency)) % 1:
                raise ValueError(f"{amount} is no whole number of minor units of {currency}")
        return self

    @property
    def limits(self) -> dict[str, int]:
        """What is measured → the most of it."""
        found = {TOKENS: self.tokens, CALLS: self.calls}
        if self.model_usd is not None:
            found[MODEL_USD] = int(self.model_usd * 1_000_000)
        found |= {MONEY + currency: int(amount.scaleb(places(currency))) for currency, amount in self.money.items()}
        return {measure: most for measure, most in found.items() if most is not None}


class Budgets(BaseModel):
    """All of a business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budgets: tuple[Budget, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Budgets:
        names = [one.name for one in self.budgets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two budgets are called {twice!r}")
        return self

    def __iter__(self) -> Iterator[Budget]:  # type: ignore[override]  # a model iterates over its fields
        return iter(self.budgets)


NO_BUDGETS = Budgets()


def read_budgets(path: Path | None) -> Budgets:
    """The file's; without one, ours. Raises BadInput naming the field at fault."""
    return read_file(path or OURS, "VIOX_BUDGETS", Budgets)


def in_words(measure: str, amount: int) -> str:
    """(`money:usd`, 125050) → `1,250.50 USD`."""
    if measure.startswith(MONEY):
        return as_written(amount, measure.removeprefix(MONEY))
    if measure == MODEL_USD:
        return f"{Decimal(amount) / 1_000_000:,.2f} USD of model work"
    return f"{amount:,} {measure}"
