"""What is done for somebody who begins: a checklist, each item with its day, each closed by a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

# Key → what is to be done, and how many days after (before, if negative) the first day.
CHECKLIST: Mapping[str, tuple[str, int]] = {
    "contract": ("Have the contract signed", -7),
    "payroll": ("Enter them in payroll and insurance", -5),
    "equipment": ("Get tools, phone and clothes ready", -3),
    "accounts": ("Make their accounts", -2),
    "welcome": ("Show them around and introduce the team", 0),
    "first-week": ("Talk about the first week", 5),
    "first-month": ("Talk about the first month", 30),
}
AT = time(9)
FIRST_DAY_IN = timedelta(days=14)  # when nobody said one
ASK_AGAIN = timedelta(days=2)
MOST_REMINDERS = 5
DONE, NOT_YET, NOT_NEEDED = "Done", "Not yet", "Not needed"
CHOICES = (DONE, NOT_YET, NOT_NEEDED)
_DATE = re.compile(r"\b(20\d\d-\d\d-\d\d)\b")


class Hire(BaseModel):
    """Somebody who was hired: what is needed to onboard them."""

    name: str = Field(min_length=1, max_length=200)
    email: str | None = Field(default=None, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")
    phone: str | None = None
    position: str = ""
    starts_on: date | None = None


class Item(BaseModel):
    """One item of the checklist of somebody."""

    title: str
    due: datetime
    closed: str | None = None  # Done or Not needed
    reminders: int = 0


class Onboarding(BaseModel):
    """Somebody's checklist."""

    name: str
    first_day: date
    items: dict[str, Item]

    @property
    def left(self) -> list[str]:
        return [key for key, item in self.items.items() if item.closed is None]

    def with_item(self, key: str, **changed: object) -> Onboarding:
        return self.model_copy(update={"items": self.items | {key: self.items[key].model_copy(update=changed)}})

    def told(self) -> str:
        lines = [f"{item.closed or f'due {item.due.date()}'}: {item.title} ({key})" for key, item in self.items.items()]
        return f"Onboarding of {self.name}, first day {self.first_day}:\n" + "\n".join(lines)


def begun(hire: Hire, now: datetime, zone: ZoneInfo) -> Onboarding:
    """The checklist. What would have been due before now is due now."""
    first = hire.starts_on or (now + FIRST_DAY_IN).astimezone(zone).date()
    items = {
        key: Item(title=title, due=max(_at(first + timedelta(days=days), zone), now))
        for key, (title, days) in CHECKLIST.items()
    }
    return Onboarding(name=hire.name, first_day=first, items=items)


def first_day_in(text: str) -> date | None:
    """The first ISO date in a text that is one."""
    for found in _DATE.findall(text):
        try:
            return date.fromisoformat(found)
        except ValueError:
            continue
    return None


def timer(key: str) -> str:
    return f"onboarding {key}"


def _at(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, AT, zone).astimezone(UTC)
