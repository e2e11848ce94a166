"""Somebody who applied: what is known of them, where they stand, and what they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from services.people_ops.rules import calendar
from services.people_ops.rules.rubric import Screening

BASE, TABLE = "Hiring", "Candidates"  # of Airtable: a base of this name is the pipeline
NEEDED = ("name", "email", "position", "resume_text")
Stage = Literal[
    "incomplete", "applied", "invited", "booked", "interviewed", "offered", "hired", "declined", "withdrawn", "on file"
]
INVITE, DECLINE, KEEP = "Invite", "Decline", "Keep on file"
OFFER, SECOND = "Make an offer", "Second interview"
FIELDS: Mapping[str, dict[str, Any]] = {
    "Candidate": {"type": "singleLineText"},
    "Name": {"type": "singleLineText"},
    "Email": {"type": "email"},
    "Phone": {"type": "phoneNumber"},
    "Position": {"type": "singleLineText"},
    "Stage": {"type": "singleLineText"},
    "Total": {"type": "number", "options": {"precision": 0}},
    "Reasons": {"type": "multilineText"},
    "Interview": {"type": "singleLineText"},
}


class Pipeline(BaseModel):
    """The Airtable table that candidates are kept in."""

    base: str
    table: str


class File(BaseModel):
    """All that the role keeps of a candidate."""

    candidate_id: str
    name: str = ""
    email: str = ""
    phone: str | None = None
    position: str = ""
    stage: Stage = "applied"
    screening: Screening | None = None
    offered: list[datetime] = Field(default_factory=list)
    shown: list[datetime] = Field(default_factory=list)
    rounds: int = 0
    slot: datetime | None = None
    terms: str = ""
    pipeline: Pipeline | None = None

    @property
    def holder(self) -> str:
        return f"candidate:{self.candidate_id}"

    def row(self, zone: ZoneInfo) -> dict[str, Any]:
        """The candidate's row of the pipeline."""
        made: dict[str, Any] = {
            "Candidate": self.candidate_id,
            "Name": self.name,
            "Position": self.position,
            "Stage": self.stage,
        }
        made |= {"Email": self.email} if self.email else {}
        made |= {"Phone": self.phone} if self.phone else {}
        if self.screening:
            made |= {"Total": self.screening.total, "Reasons": self.screening.reasons}
        made |= {"Interview": calendar.in_words(self.slot, zone) if self.slot else ""}
        return made


def missing(data: Mapping[str, Any]) -> list[str]:
    """What to ask for before a screening."""
    return [name for name in NEEDED if not str(data.get(name) or "").strip()]


def table() -> dict[str, Any]:
    return {"name": TABLE, "fields": [{"name": name} | kind for name, kind in FIELDS.items()]}


# -- what is read --------------------------------------------------------------------------------------------------------

OfferAnswer = Literal["accepted", "declined", "unclear"]
_YES = re.compile(
    r"^\W*(?:yes|yes please|i accept|accepted|i(?:'d| would) love to|gladly|with pleasure|agreed)\b", re.I
)
_NO = re.compile(r"^\W*(?:no(?:,? thank(?:s| you))?|i (?:must |have to )?decline|declined|not interested)\b", re.I)
_BUT = re.compile(r"\b(?:but|if|unless|except|however|question)\b|\?", re.I)


class Reply(BaseModel):
    """What somebody answers to an offer."""

    answer: OfferAnswer


def offer_answer(text: str) -> OfferAnswer | None:
    """A plain yes or no; None when somebody has to read it."""
    if _BUT.search(text):
        return None
    return "accepted" if _YES.match(text) else "declined" if _NO.match(text) else None


# -- what is written -----------------------------------------------------------------------------------------------------


def letter(file: File, subject: str, *paragraphs: str, business: str) -> dict[str, Any]:
    """A mail to the candidate, as email_send takes it."""
    text = "\n\n".join([f"Dear {file.name or 'applicant'},", *(one for one in paragraphs if one), f"{business}"])
    return {"to": [file.email], "subject": subject, "text": text + "\n"}


def invitation(offered: Sequence[datetime], zone: ZoneInfo, first: str) -> tuple[str, str]:
    """The paragraphs of an invitation."""
    times = f"Which of these times suits you? All times are in {zone.key}.\n{calendar.as_list(offered, zone)}"
    return first, f"{times}\nPlease answer with the number, or say that none of them does."


def question(file: File) -> str:
    """What a person decides on, with all reasons."""
    assert file.screening is not None  # noqa: S101  # nobody is asked about an application that was not screened
    return (
        f"{file.name} applied as {file.position}: {file.screening.total} of 100.\n{file.screening.reasons}\n"
        "Nobody is rejected without you. What shall be done?"
    )[:2000]
