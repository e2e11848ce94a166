"""What a policy may know of a call. Pure: what the tables say is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.figures import Figures
from services.tool_gateway.policy.reads import Path
from services.tool_gateway.policy.schema import RISKS, argument_paths, history_fields, wanted_facts
from services.tool_gateway.policy.types import projected


@dataclass(frozen=True, slots=True)
class Known:
    """What the tables say of a call. Facts that no policy about the tool reads are left at None.

    `history` as the schema has it; `touched`: the labels of what the conversation has done and read before; `own_party`: the
    call reaches nobody but whom the conversation is with; `trigger`: what the run began with; `copied`: an address in
    the arguments stands in text from outside; `recipient` as the schema has it, with `quiet_until`, the end of quiet hours;
    `by_rule`: the step that asks is a plan.
    """

    history: Mapping[str, Any] | None = None
    touched: frozenset[str] | None = None
    own_party: bool | None = None
    trigger: Mapping[str, Any] | None = None
    copied: bool | None = None
    recipient: Mapping[str, Any] | None = None
    quiet_until: datetime | None = None
    by_rule: bool | None = None


NOTHING = Known()


def context_of(
    tool: Tool,
    arguments: Mapping[str, Any],
    paths: Iterable[Path],
    figures: Figures,
    known: Known,
    at: datetime,
    *,
    person: bool,
) -> dict[str, Any]:
    """The context of a decision: what policies about the tool read, and nothing else. A fact that is not known is left out,
    which denies the call.

    `at` is the business's local time. Raises NoType for an argument that has no type in Cedar, which is a reason to deny.
    """
    paths = frozenset(paths)
    facts: dict[str, Any] = {
        "person": person,
        "hour": at.hour,
        "weekday": at.isoweekday(),
        "amount": figures.amount and {"minor": figures.amount.minor, "currency": figures.amount.currency},
        "counterparties": {"count": len(figures.counterparties), "items": list(figures.counterparties)},
        "own_party": known.own_party,
        "history": None if known.history is None else _of(known.history, paths),
        "copied": known.copied,
        "by_rule": known.by_rule,
        "trigger": None if known.trigger is None else dict(known.trigger),
        "recipient": None if known.recipient is None else dict(known.recipient),
        "touched": None if known.touched is None else {risk: risk in known.touched for risk in RISKS},
    }
    wanted = wanted_facts(paths)
    made = {name: value for name, value in facts.items() if name in wanted and value is not None}
    if about := argument_paths(paths):
        made["args"] = projected(arguments, tool.input_schema, about, tool.input_schema.get("$defs") or {})
    return made


def _of(history: Mapping[str, Any], paths: frozenset[Path]) -> dict[str, Any]:
    """What is read of it; a field that is not known is left out, which denies the call."""
    return {name: history[name] for name in history_fields(paths) if name in history}
