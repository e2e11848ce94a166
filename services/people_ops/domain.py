"""People Ops' rules: what an application must contain. Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any


def years_of_experience(text: str) -> int | None:
    """The largest "N years" a resume states, or None."""
    found = [int(number) for number in re.findall(r"(\d{1,2})\+?\s+years?", text.lower())]
    return max(found) if found else None


def missing(data: dict[str, Any]) -> list[str]:
    """What to ask for before a screening."""
    return [name for name in ("name", "email", "position", "resume_text") if not data.get(name)]


def facts(trigger: dict[str, Any]) -> str | None:
    """The note People Ops' rules put before the model, as one line of JSON."""
    if trigger["type"] != "viox.candidate.applied":
        return None
    data = trigger["data"]
    years = years_of_experience(str(data.get("resume_text", "")))
    return json.dumps({"years_of_experience": years, "missing": missing(data)})
