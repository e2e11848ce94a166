"""Builder's rules: is it safe to run a failed automation again? Pure: no I/O, no clock, no framework."""

from __future__ import annotations

import json
import re
from typing import Any

TRANSIENT = re.compile(r"timed?[ -]?out|\b(429|502|503|504)\b|econnreset|rate.?limit")


def looks_transient(message: str) -> bool:
    """An error that goes away by itself."""
    return bool(TRANSIENT.search(message.lower()))


def facts(trigger: dict[str, Any]) -> str | None:
    """The note Builder's rules put before the model, as one line of JSON."""
    data = trigger["data"]
    match trigger["type"]:
        case "com.n8n.execution.failed":
            message = str(data.get("execution", {}).get("error", {}).get("message", ""))
        case "com.make.scenario.failed":
            message = str(data.get("error", {}).get("message", ""))
        case _:
            return None
    return json.dumps({"transient": looks_transient(message)})
