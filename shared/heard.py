"""What somebody wrote to us, a text message or a mail, as agents' rules read it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.bus.consent import Wish, wish, wish_in_mail
from shared.bus.events import MAIL_TYPE

TEXT_TYPE = "com.twilio.message.received"
LONGEST_SUBJECT = 250


@dataclass(frozen=True, slots=True)
class Heard:
    """`sender` is a number or a mail address. `proved`: it is known that they wrote it; telephone companies vouch for numbers.
    `lost`: it says of a mail of ours whom it did not reach, and why."""

    channel: Literal["sms", "mail"]
    sender: str
    text: str
    subject: str = ""
    message_id: str | None = None
    proved: bool = True
    lost: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All that was said; of a mail with its subject, where it is no answer to ours."""
        if self.lost:
            return f"Our mail did not arrive: {'; '.join(self.lost)}"
        told = "" if self.subject.lower().startswith(("re:", "aw:", "sv:", "rv:")) else self.subject
        return f"{told}\n{self.text}".strip() or self.subject

    @property
    def wish(self) -> Wish | None:
        """What it asks for about further messages."""
        return wish(self.text) if self.channel == "sms" else wish_in_mail(self.subject, self.text)


def heard(type_: str, data: Mapping[str, Any]) -> Heard | None:
    """None for an event that is nobody's words."""
    if type_ == TEXT_TYPE:
        return Heard("sms", str(data.get("From") or ""), str(data.get("Body") or ""))
    if type_ != MAIL_TYPE:
        return None
    text, subject = (str(data.get(name) or "") for name in ("text", "subject"))
    lost = tuple(map(str, data.get("lost") or ())) if data.get("kind") == "undelivered" else ()
    proved = bool(data.get("verified"))
    return Heard("mail", str(data.get("sender") or "").lower(), text, subject, data.get("message_id"), proved, lost)


def reply_subject(subject: str) -> str:
    """The subject of an answer."""
    plain = " ".join(subject.split()) or "your mail"
    return (plain if plain.lower().startswith("re:") else f"Re: {plain}")[:LONGEST_SUBJECT]
