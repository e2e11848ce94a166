"""What no document may say, whoever wrote it: headers that are ours, waits without end, rates that are none."""

from __future__ import annotations

import math
import re
from typing import Any

from services.tool_gateway.catalogue.tools import MAX_ANSWER_BYTES, MAX_RESPONSE_BYTES, Rate

LONGEST_SECONDS = 600.0
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They say whom a request is for and where it ends.
FRAMING = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
)
QUERY_STYLES = ("form", "spaceDelimited", "pipeDelimited", "deepObject")


def header_name(name: Any) -> str:
    """The name of a header that a document may set. Raises ValueError."""
    text = str(name)
    if not TOKEN.fullmatch(text) or text.lower() in FRAMING:
        raise ValueError(f"{text!r} is no header that a document may set")
    return text


def seconds(given: Any) -> float:
    """How long one request may take. Raises ValueError."""
    number = float(given)
    if not 0 < number <= LONGEST_SECONDS:
        raise ValueError(f"timeout_seconds is {number:g}; up to {LONGEST_SECONDS:g} is possible")
    return number


def answer_bytes(given: Any) -> int:
    """How large an answer may be to be read. Raises ValueError."""
    number = MAX_ANSWER_BYTES if given is None else int(given)
    if not 0 < number <= MAX_RESPONSE_BYTES:
        raise ValueError(f"max_answer_bytes is {number:,}; up to {MAX_RESPONSE_BYTES:,} is possible")
    return number


def query_style(style: Any) -> Any:
    """A style that a query or form can be written in. Raises ValueError."""
    if style not in QUERY_STYLES:
        raise ValueError(f"style {style!r} is none of {', '.join(QUERY_STYLES)}")
    return style


def rate(given: dict[str, Any]) -> Rate:
    """Raises ValueError when nothing could be planned by it."""
    made = Rate(**given)
    numbers = (made.per_second, made.burst, made.pause_seconds)
    if not all(math.isfinite(n) and n > 0 for n in numbers) or int(made.burst) != made.burst:
        raise ValueError("rate needs per_second, burst and pause_seconds greater than 0")
    return made
