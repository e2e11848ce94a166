"""An approval as a case file: what would be done in words and money, what is new about it, and what led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.money import as_written
from shared.operations.sentences import about, agent_name, cut, doing, money


def summary(approval: Mapping[str, Any], *, content: bool) -> dict[str, Any]:
    """An approval with `headline` and who asks."""
    return dict(approval) | {"headline": headline(approval, content=content), "who": agent_name(approval["agent"])}


def headline(approval: Mapping[str, Any], *, content: bool) -> str:
    """What would be done: `Create a refund in Stripe (ch_1, 45.00 USD)`, or the question that is asked."""
    if approval["question"]:
        question = approval["arguments"].get("question") if content else ""
        return cut(question, 160) or f"{agent_name(approval['agent'])} asks a question"
    deed = doing(approval["tool"], None).base
    named = about(approval["tool"], approval["arguments"]) if content else ""
    return f"{deed[:1].upper()}{deed[1:]}" + (f": {named}" if named else "")


def button(approval: Mapping[str, Any], call: Mapping[str, Any] | None = None) -> str:
    """The button names the effect: an amount where it is known, else the deed."""
    if call and call["amount_minor"] is not None and call["currency"]:
        return f"Approve {as_written(call['amount_minor'], call['currency'])}"
    if isinstance(approval["arguments"], Mapping) and (amount := money(approval["arguments"])):
        return f"Approve {amount}"
    return f"Approve: {doing(approval['tool'], None).base}"


def ceilings(
    budgets: Sequence[Mapping[str, Any]],
    approval: Mapping[str, Any],
    call: Mapping[str, Any] | None,
    currency: str | None,
) -> list[dict[str, Any]]:
    """The day's budgets that a call counts for: of the business, its agent and whom it pays. Nothing where it moves no money."""
    if call is None or call["amount_minor"] is None:
        return []
    wanted = f"money:{(call['currency'] or currency or 'usd').lower()}"
    scopes = {"business", approval["agent"], *(call["counterparties"] or ())}
    return [dict(one) for one in budgets if one["measure"] == wanted and one["per"] == "day" and one["scope"] in scopes]


def facts(arguments: Mapping[str, Any], call: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """The plain arguments as label and value, nested ones left to the exact text below; an amount as people write it."""
    flat = [(key, value) for key, value in arguments.items() if isinstance(value, str | int | float | bool)]
    known = call["amount_minor"] if call else None
    return [
        (_label(key), _amount(call) if call and key == "amount" and value == known else _plain(value))
        for key, value in flat
    ][:12]


def _amount(call: Mapping[str, Any]) -> str:
    """Where no currency is named, nobody knows how many digits are behind the point."""
    minor, currency = call["amount_minor"], call["currency"]
    return as_written(minor, currency) if currency else f"{minor} cents (or what is smallest in its currency)"


def _plain(value: str | float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else cut(value, 400)


def _label(key: str) -> str:
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in key).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]
