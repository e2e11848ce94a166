"""Who is told of an approval, when, and in what words. Pure but for the file that says how.

At once as many as have to agree; after a while the next one on the list; before it expires all of them once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from services.tool_gateway.answers.paths import filled
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.figures import readable_figures
from shared.business import Business
from shared.money import as_written
from shared.people import Person

WAYS: Mapping[str, Mapping[str, Any]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
ESCALATE = timedelta(hours=1)
LONGEST_TEXT = 600  # four parts of a text message
LONGEST_VALUE = 60
SHOWN_ARGUMENTS = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to tell now, and when to look again. `told`: so many of the list have been told by then."""

    tell: Sequence[Person]
    told: int
    reminded: bool
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one person."""

    tool: str
    arguments: dict[str, Any]


def plan(approvers: Sequence[Person], people: int, told: int, reminded: bool, now: datetime, expires: datetime) -> Plan:
    """What is due. `told` and `reminded` say what has been done."""
    remind_at = expires - min(timedelta(hours=2), (expires - now) / 4)
    if told and not reminded and now >= expires - timedelta(hours=2):
        return Plan(approvers[:told], told, True, expires)
    following = min(people if not told else told + 1, len(approvers))
    more = following < len(approvers)
    next_at = min(now + ESCALATE, remind_at) if more else remind_at
    return Plan(approvers[told:following], following, reminded, max(next_at, now + timedelta(minutes=1)))


def letter(person: Person, subject: str, text: str) -> Letter | None:
    """None for somebody whom nothing reaches."""
    for way, how in WAYS.items():
        if address := getattr(person, way):
            given = {"address": address, "subject": subject, "text": text}
            return Letter(how["tool"], filled(how["arguments"], given))
    return None


def subject(approval: Mapping[str, Any]) -> str:
    if approval["question"]:
        return f"{_name(approval['agent'])} has a question"
    return f"{_name(approval['agent'])} waits for you: {approval['tool']}"


def text(approval: Mapping[str, Any], tool: Tool | None, business: Business) -> str:
    """What is asked for, why a person is asked, until when, and how to decide. Never a secret: arguments have none."""
    until = approval["expires_at"].astimezone(ZoneInfo(business.time_zone))
    identity = approval["approval_id"]
    if approval["question"]:
        return _question(approval, business, f"{until:%d %b %H:%M}")
    how = f"viox approve {identity}"
    story = f"{_name(approval['agent'])} wants to call {approval['tool']}: {_story(approval['arguments'], tool)}."
    why = f"A person is asked because {'; '.join(approval['reasons'])}."
    rest = f" {why} Decide until {until:%d %b %H:%M}: {how}"
    told = f"{business.name}: {story}"
    return told[: LONGEST_TEXT - len(rest)] + rest


def _question(approval: Mapping[str, Any], business: Business, until: str) -> str:
    asked = f"{business.name}: {_name(approval['agent'])} asks: {' '.join(approval['arguments']['question'].split())}"
    choices = f" ({' / '.join(approval['choices'])})" if approval["choices"] else ""
    rest = f"{choices} Answer until {until}: viox answer {approval['approval_id']} TEXT"
    if len(asked) + len(rest) > LONGEST_TEXT:
        asked = asked[: max(LONGEST_TEXT - len(rest) - 1, 0)] + "…"
    return asked + rest


def _story(arguments: Mapping[str, Any], tool: Tool | None) -> str:
    figures = readable_figures(tool, arguments) if tool else None
    parts = []
    if figures and figures.amount:
        money = figures.amount
        parts.append(as_written(money.minor, money.currency) if money.currency else f"{money.minor / 100:,.2f}")
    if figures and figures.counterparties:
        parts.append("to " + ", ".join(figures.counterparties[:3]))
    given = [f"{name} {_short(value)}" for name, value in list(arguments.items())[:SHOWN_ARGUMENTS]]
    return "; ".join([*parts, ", ".join(given)])


def _short(value: Any) -> str:
    shown = " ".join(str(value).split())
    return shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 1] + "…"


def _name(agent: str) -> str:
    return agent.replace("-", " ").title().replace(" Of ", " of ")
