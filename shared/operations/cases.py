"""An approval as a case file: what would be done in words and money, what is new about it, and what led to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.operations.sentences import about, agent_name, cut, doing, vendor_name


def summary(approval: Mapping[str, Any], *, content: bool) -> dict[str, Any]:
    """An approval with `headline`, `button` and who asks."""
    return dict(approval) | {
        "headline": headline(approval, content=content),
        "button": button(approval),
        "who": agent_name(approval["agent"]),
    }


def headline(approval: Mapping[str, Any], *, content: bool) -> str:
    """What would be done: `Create a refund in Stripe (ch_1, 45.00 USD)`, or the question that is asked."""
    if approval["question"]:
        question = approval["arguments"].get("question") if content else ""
        return cut(question, 160) or f"{agent_name(approval['agent'])} asks a question"
    vendor = vendor_of(approval["tool"])
    deed = doing(approval["tool"], vendor).base
    named = about(approval["tool"], approval["arguments"]) if content else ""
    return f"{deed[:1].upper()}{deed[1:]}" + (f": {named}" if named else "")


def button(approval: Mapping[str, Any]) -> str:
    """The button names the effect."""
    amount = money_of(approval["arguments"])
    if amount:
        return f"Approve {amount}"
    deed = doing(approval["tool"], None).base
    return f"Approve: {doing(approval['tool'], vendor_of(approval['tool'])).base}" if len(deed) < 40 else "Approve"


def money_of(arguments: Any) -> str:
    from shared.operations.sentences import money

    return money(arguments) if isinstance(arguments, Mapping) else ""


def vendor_of(tool: str) -> str | None:
    """The vendor that a tool's name begins with, where it is one of ours."""
    from shared.operations.sentences import VENDORS

    first = tool.partition("_")[0]
    return first if first in VENDORS else None


def facts(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain arguments as label and value, nested ones left to the exact text below."""
    flat = [(key, value) for key, value in arguments.items() if isinstance(value, str | int | float | bool)]
    return [(_label(key), cut(value, 400)) for key, value in flat][:12]


def _label(key: str) -> str:
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in key).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]


__all__ = ["button", "facts", "headline", "summary", "vendor_name"]
