"""Chief of Staff's rules: what kind of day it is. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

from shared.bus.topics import AGENTS

COLLEAGUES = tuple(agent for agent in AGENTS if agent != "chief-of-staff")


def day_facts(day: date) -> dict[str, Any]:
    """Weekday, and whether reports for the week or the month are due."""
    return {
        "day": day.isoformat(),
        "weekday": day.strftime("%A"),
        "week_report": day.weekday() == 0,
        "month_report": day.day == 1,
    }


def mentioned(text: str) -> list[str]:
    """Colleagues a task names. An invoice names nobody."""
    words = text.lower().replace("_", "-")
    return [agent for agent in COLLEAGUES if re.search(rf"\b{agent.replace('-', '[- ]')}\b", words)]


def facts(trigger: dict[str, Any]) -> str | None:
    """The note the Chief of Staff's rules put before the model, as one line of JSON."""
    data = trigger["data"]
    if trigger["type"] == "viox.briefing.due":
        try:
            return json.dumps(day_facts(date.fromisoformat(str(data.get("day")))))
        except ValueError:
            return json.dumps({"problem": "the day is not a date"})
    named = mentioned(str(data.get("instruction", "")))
    return json.dumps({"colleagues": named}) if named else None
