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
# A mail that says nothing but this. Its words are a letter's: one that begins with "end" or "cancel" is about something.
_STOP_MAIL = re.compile(
    r"(please |kindly )?(stop|unsubscribe|opt ?out|remove me|take me off|(do not|dont) (mail|email|write to|contact) me)"
    r"( me)?( (from|to|off) (this|your|the) (mailing )?list| (mailing|emailing|writing|contacting)( to)?( me)?)?( any ?more)?"
    r"(,? ?please)?(,? ?thank(s| you))?|(bitte )?(newsletter )?(abmelden|abbestellen)"
)


_GREETING = re.compile(r"(hi|hello|hey|dear|good (morning|day|evening)|hallo|guten tag)\b.{0,40}")


def wish(text: str) -> Wish | None:
    """What a message asks for about further messages; None when it is about something else."""
    plain = text.lower().replace("’", "'").replace("opt-out", "optout").replace("opt out", "optout").strip()
    first = re.search(r"\w+", plain.removeprefix("please "))
    if first and first.group() in STOP_WORDS:
        return "stop"
    return "start" if plain.strip(" .!\"'") in START_WORDS else None


def wish_in_mail(subject: str, text: str) -> Wish | None:
    """What a mail asks for about further ones: its first line, or without any its subject, is nothing but the wish."""
    lines = [re.sub(r"[^\w ,]", "", one.lower().replace("-", " ")).strip(" ,") for one in text.splitlines()]
    plain = next((one for one in lines if one and not _GREETING.fullmatch(one)), subject.lower().strip(" .!"))
    if len(plain) <= 80 and _STOP_MAIL.fullmatch(plain):
        return "stop"
    return "start" if plain in START_WORDS else None


def address_key(address: str) -> str:
    """An address however it is written: `+1 (415) 555-0123` is `+14155550123`, `Ana@Example.com` is `ana@example.com`."""
    if "@" in address:
        return address.strip().lower()
    return re.sub(r"[\s().-]", "", address).lower()
