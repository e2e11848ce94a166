"""The file of budgets, and what calls take from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.tool_gateway.budgets.wants import Call, Item, concerns, wanted
from services.tool_gateway.call.call import Requested
from services.tool_gateway.catalogue import catalogue
from shared.budgets import Budgets, read_budgets
from shared.errors import BadInput
from shared.ids import CallId, RunId, ThreadId

RUN = RunId(UUID(int=1))
TOOLS = catalogue.load().tools
PAYOUT, TEXT = TOOLS["stripe_create_payout"], TOOLS["twilio_send_message"]
REFUND = TOOLS["stripe_create_refund"]


def call(agent: str = "controller", **arguments: Any) -> Requested:
    return Requested(CallId(f"{RUN}.1.0"), RUN, 1, 0, agent, ThreadId(UUID(int=2)), "c", "x", arguments, None)


def budgets(*given: dict[str, Any]) -> Budgets:
    return Budgets.model_validate({"budgets": list(given)})


MONEY = budgets({"name": "day", "of": "business", "per": "day", "money": {"usd": "500.00", "jpy": "70000"}})


def test_ours_can_be_read_and_limits_no_ordinary_call() -> None:
    ours = read_budgets(None)
    assert not concerns(ours, call(), TEXT)
    assert concerns(ours, call(), REFUND)
    assert {one.of for one in ours} == {"run", "agent", "counterparty", "business"}
    assert all(one.of == "run" or one.tokens is None for one in ours), "the offline model's turns cost no statement"


def test_amounts_are_whole_inside() -> None:
    assert MONEY.budgets[0].limits == {"money:usd": 50_000, "money:jpy": 70_000}
    made = budgets({"name": "a", "of": "agent", "per": "day", "model_usd": "0.5", "tokens": "100", "calls": "3"})
    assert made.budgets[0].limits == {"tokens": 100, "calls": 3, "model_usd": 500_000}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{name: a, of: agent, per: day, tokens: 5, colour: red}", "colour"),
        ("{name: a, of: agent, per: run, tokens: 5}", "budgets.0"),
        ("{name: a, of: run, per: day, tokens: 5}", "budgets.0"),
        ("{name: a, of: agent, per: day}", "budgets.0"),
        ("{name: a, of: agent, per: day, tokens: -5}", "tokens"),
        ("{name: a, of: agent, per: week, tokens: 5}", "per"),
        ("{name: a, of: counterparty, per: day, tokens: 5}", "budgets.0"),
        ('{name: a, of: agent, per: day, money: {usd: "1.005"}}', "budgets.0"),
        ('{name: a, of: agent, per: day, money: {dollars: "1"}}', "money"),
        ("{name: a b, of: agent, per: day, calls: 5}", "name"),
        ("{name: a, of: agent, per: day, model_usd: NaN}", "model_usd"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, line: str, field: str) -> None:
    file = tmp_path / "budgets.yaml"
    file.write_text(f"budgets:\n  - {line}\n")
    with pytest.raises(BadInput, match=r"budgets\.yaml") as found:
        read_budgets(file)
    assert field in found.value.message


def test_a_call_takes_what_it_moves_from_every_budget_of_its_currency() -> None:
    found = wanted(MONEY, call(amount=12_345, currency="USD"), PAYOUT)
    assert (found.items, found.uncounted) == ([Item("day", "business", "money:usd", 12_345)], {})


def test_a_currency_without_a_limit_waits_for_a_person() -> None:
    found = wanted(MONEY, call(amount=12_345, currency="eur"), PAYOUT)
    assert (found.items, found.uncounted) == ([], {"day": "the budget day has no limit for 123.45 EUR"})


def test_an_amount_that_is_not_said_waits_for_a_person() -> None:
    assert "does not say how much" in wanted(MONEY, call(charge="ch_1"), REFUND).uncounted["day"]


def test_an_amount_without_a_currency_counts_in_each() -> None:
    found = wanted(MONEY, call(charge="ch_1", amount=500), REFUND)
    assert [(one.measure, one.amount) for one in found.items] == [("money:jpy", 500), ("money:usd", 500)]


def test_what_moves_no_money_takes_none() -> None:
    assert not wanted(MONEY, call(To="+14155550123", Body="x"), TEXT)
    assert not wanted(MONEY, call(amount=5, currency="usd"), replace(PAYOUT, risk=("changes_state",)))


def test_each_counterparty_has_its_own() -> None:
    made = budgets({"name": "party", "of": "counterparty", "per": "day", "calls": 3})
    found = wanted(made, call(To="+1 (415) 555-0123", Body="x"), TEXT)
    assert found.items == [Item("party", "+14155550123", "calls", 1)]


def test_what_the_gateway_does_to_tell_people_takes_nothing() -> None:
    made = budgets({"name": "all", "of": "business", "per": "day", "calls": 0})
    told: Call = call("gateway", To="+14155550123", Body="x")
    assert not wanted(made, told, TEXT)
    assert wanted(made, call(To="+14155550123", Body="x"), TEXT)
