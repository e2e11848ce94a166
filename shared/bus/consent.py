"""Who asked not to be written to. A table of words and the shape of an address; imports nothing of ours.

Carriers take a message that begins with one of these words for a wish to stop. So do we: being wrong about it once is
being wrong once too often. Only a message that is nothing else takes the wish back.
"""

from __future__ import annotations

import re
from typing import Literal

STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke"})
START_WORDS = frozenset({"start", "unstop"})
Wish = Literal["stop", "start"]


def wish(text: str) -> Wish | None:
    """What a message asks for about further messages; None when it is about something else."""
    plain = text.lower().replace("’", "'").replace("opt-out", "optout").replace("opt out", "optout").strip()
    first = re.search(r"\w+", plain.removeprefix("please "))
    if first and first.group() in STOP_WORDS:
        return "stop"
    return "start" if plain.strip(" .!\"'") in START_WORDS else None


def address_key(address: str) -> str:
    """An address however it is written: `+1 (415) 555-0123` is `+14155550123`."""
    return re.sub(r"[\s().-]", "", address).lower()
