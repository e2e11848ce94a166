"""The business profile: one file (VIOX_BUSINESS) of facts that hold for the whole deployment. docs/business-profile.md
has an example with everything.

    name: Northwind Plumbing
    time_zone: America/Chicago

Times are local ones of the business. A time that a clock skips in spring is as much later; one that comes twice in autumn
is the first of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from shared.errors import BadInput
from shared.money import places
from shared.people import People
from shared.yaml_file import read_file

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Period = Literal["day", "week"]
Upkeep = Literal["contacts", "automations"]


def at_local(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The moment at which clocks in the zone show this on that day."""
    return datetime.combine(day, clock, zone).astimezone(ZoneInfo("UTC"))


def _time(given: Any) -> Any:
    """A time as people write it: two digits, a colon, two digits."""
    if isinstance(given, time):
        return given
    try:
        if len(str(given)) != 5:
            raise ValueError
        return time.fromisoformat(str(given))
    except ValueError:
        raise ValueError(f"{given!r} is not a time; for instance 07:30") from None


def _span(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    start, dash, end = given.replace(" ", "").partition("-")
    if not dash:
        raise ValueError(f"{given!r} is not a span; for instance 09:00-17:30")
    return {"start": start, "end": end}


def _known_zone(given: str) -> str:
    if given not in available_timezones():
        raise ValueError("no such time zone; for instance Europe/Berlin")
    return given


LocalTime = Annotated[time, BeforeValidator(_time)]
ZoneName = Annotated[str, AfterValidator(_known_zone)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hours(_Part):
    """From one time of a day to a later one."""

    start: LocalTime
    end: LocalTime

    @model_validator(mode="after")
    def _in_order(self) -> Hours:
        if self.start >= self.end:
            raise ValueError("it ends before it begins; hours over midnight are two spans")
        return self


class QuietHours(_Part):
    """When nobody is texted or called: from one time to the next time that clocks show the other, midnight included."""

    start: LocalTime
    end: LocalTime

    @model_validator(mode="after")
    def _are_some(self) -> QuietHours:
        if self.start == self.end:
            raise ValueError("start and end are the same; leave quiet_hours out for none")
        return self

    def has(self, clock: time) -> bool:
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


class Price(_Part):
    """What something costs, in the business's currency."""

    name: str = Field(min_length=1, max_length=200)
    amount: Decimal = Field(ge=0, max_digits=12)
    unit: str | None = Field(default=None, min_length=1, max_length=50)


class Schedule(_Part):
    """When the owner is briefed (about each day of `on`, or once a week on its one day), or something is looked after."""

    briefing: Period | None = None
    upkeep: Upkeep | None = None
    at: LocalTime
    on: tuple[Weekday, ...] = ()
    name: str = Field(default="", max_length=60, pattern=r"^[a-z0-9][a-z0-9_-]*$|^$")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        made, period = dict(given), given.get("briefing")
        made.setdefault("on", ("mon",) if period == "week" else WEEKDAYS)
        made["on"] = [made["on"]] if isinstance(made["on"], str) else made["on"]
        if what := _purpose(given):
            made.setdefault("name", what)
        return made

    @model_validator(mode="after")
    def _is_for_one_thing(self) -> Schedule:
        if (self.briefing is None) == (self.upkeep is None):
            raise ValueError("it is for a `briefing` (day or week) or for an `upkeep` (contacts or automations)")
        return self

    @model_validator(mode="after")
    def _once_a_week(self) -> Schedule:
        if not self.on or len(set(self.on)) < len(self.on):
            raise ValueError("`on` names each weekday once, and at least one")
        if self.briefing == "week" and len(self.on) != 1:
            raise ValueError("a weekly briefing is on one weekday")
        return self

    def latest(self, moment: datetime, zone: ZoneInfo) -> date:
        """The last day whose time has come."""
        day = moment.astimezone(zone).date()
        while WEEKDAYS[day.weekday()] not in self.on or at_local(day, self.at, zone) > moment:
            day -= timedelta(days=1)
        return day


def _purpose(given: Mapping[str, Any]) -> str | None:
    """What a schedule is for, as its name says it."""
    return next((f"{key}-{given[key]}" for key in ("upkeep", "briefing") if key in given), None)


def _times(given: Any) -> list[Any]:
    if not isinstance(given, Mapping) or not isinstance(given.get("at"), list):
        return [given]
    name = given.get("name") or _purpose(given) or "schedule"
    return [{**given, "at": at, "name": f"{name}-{str(at).replace(':', '')}"} for at in given["at"]]


class Business(_Part):
    """One business. Without opening hours it is always open, without quiet hours nobody has any."""

    name: str = Field(default="the business", min_length=1, max_length=100)
    trade: str | None = Field(default=None, min_length=1, max_length=200)
    time_zone: ZoneName = "UTC"
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    owner: str | None = Field(default=None, min_length=1, max_length=80)
    tone: str | None = Field(default=None, min_length=1, max_length=1000)
    opening_hours: dict[Weekday, tuple[Annotated[Hours, BeforeValidator(_span)], ...]] | None = None
    quiet_hours: QuietHours | None = None
    prices: tuple[Price, ...] = Field(default=(), max_length=200)
    facts: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(default=(), max_length=200)
    schedules: tuple[Schedule, ...] = Field(default=(), max_length=20)
    briefing_reads: tuple[Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")], ...] = Field(
        default=(), max_length=10
    )

    @property
    def upkeep(self) -> tuple[Schedule, ...]:
        """Schedules by which something is looked after."""
        return tuple(one for one in self.schedules if one.upkeep)

    @field_validator("schedules", mode="before")
    @classmethod
    def _once_for_each_time(cls, given: Any) -> Any:
        """A schedule with several times is as many schedules, each with its time in its name."""
        if not isinstance(given, list | tuple):
            return given
        return [one for schedule in given for one in _times(schedule)]

    @field_validator("opening_hours", mode="before")
    @classmethod
    def _closed_or_spans(cls, given: Any) -> Any:
        """A day has one span or a list of them; `closed` is a day without."""
        if not isinstance(given, Mapping):
            return given
        spans = {day: [] if hours == "closed" else hours for day, hours in given.items()}
        return {day: hours if isinstance(hours, list | tuple) else [hours] for day, hours in spans.items()}

    @field_validator("opening_hours")
    @classmethod
    def _open_sometimes(cls, given: Any) -> Any:
        if given is not None and not any(given.values()):
            raise ValueError("closed on every day; leave opening_hours out to be always open")
        for day, spans in (given or {}).items():
            ordered = sorted(spans, key=lambda one: one.start)
            if any(one.end > following.start for one, following in pairwise(ordered)):
                raise ValueError(f"two spans of {day} overlap")
        return given

    @model_validator(mode="after")
    def _agree(self) -> Business:
        names = [one.name for one in self.schedules]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two schedules are called {twice!r}; give one another `name`")
        if self.prices and self.currency is None:
            raise ValueError("prices need a `currency`, for instance EUR")
        for price in self.prices:
            if price.amount != round(price.amount, places((self.currency or "").lower())):
                raise ValueError(f"the price of {price.name!r} has more places than {self.currency}")
        return self

    def in_words(self) -> str:
        """What agents are told of the business, a line each. Empty for a profile with nothing but defaults."""
        if self == Business():
            return ""
        said = {"Name": self.name, "Trade": self.trade, "Time zone": self.time_zone, "Currency": self.currency}
        said |= {"Owner": self.owner, "Tone of everything written": self.tone, "Open": self._opening_in_words()}
        if quiet := self.quiet_hours:
            said["No texts and calls"] = f"{quiet.start:%H:%M} to {quiet.end:%H:%M} at the recipient's"
        lines = [f"{name}: {value}" for name, value in said.items() if value]
        for price in self.prices:
            lines.append(
                f"Price of {price.name}: {price.amount} {self.currency}{f' {price.unit}' if price.unit else ''}"
            )
        return "\n".join([*lines, *self.facts])

    def _opening_in_words(self) -> str:
        """mon 09:00-17:30, tue 09:00-12:00 and 13:00-17:00"""
        spans = {
            day: " and ".join(f"{one.start:%H:%M}-{one.end:%H:%M}" for one in hours)
            for day, hours in (self.opening_hours or {}).items()
        }
        return ", ".join(f"{day} {said}" for day, said in spans.items() if said)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def local(self, moment: datetime) -> datetime:
        """A moment as clocks of the business show it."""
        return moment.astimezone(self.zone)

    def is_quiet(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether people in the zone are to be left alone."""
        return self.quiet_hours is not None and self.quiet_hours.has(moment.astimezone(zone).time())

    def next_loud(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The moment, or the end of the quiet hours that it is in."""
        if self.quiet_hours is None or not self.is_quiet(moment, zone):
            return moment
        day = moment.astimezone(zone).date()
        while True:
            for fold in (0, 1):  # in autumn the end may come twice, and the moment be between
                end = at_local(day, self.quiet_hours.end.replace(fold=fold), zone)
                if end > moment and not self.is_quiet(end, zone):
                    return end
            day += timedelta(days=1)

    def next_open(self, moment: datetime) -> datetime:
        """The moment, or when the business opens next."""
        if self.opening_hours is None:
            return moment
        for start, end in self._spans_from(self.local(moment).date()):
            if end > moment:
                return max(start, moment)
        raise AssertionError("some day is open")

    def _spans_from(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        while True:
            hours = (self.opening_hours or {}).get(WEEKDAYS[day.weekday()], ())
            for one in sorted(hours, key=lambda span: span.start):
                yield at_local(day, one.start, self.zone), at_local(day, one.end, self.zone)
            day += timedelta(days=1)


def read_business(path: Path | None) -> Business:
    """The profile; without a file one with nothing but defaults. Raises BadInput naming the field at fault."""
    return read_file(path, "VIOX_BUSINESS", Business) if path else Business()


def check_owner(business: Business, people: People) -> None:
    """Raises BadInput when the owner is nobody of VIOX_PEOPLE."""
    names = [person.name for person in people]
    if business.owner is None or business.owner.casefold() in {name.casefold() for name in names}:
        return
    known = f"One of {', '.join(names)}." if names else "Name a file of people with VIOX_PEOPLE."
    raise BadInput(
        "settings.invalid", f"owner: nobody is called {business.owner!r}.", field="VIOX_BUSINESS", remedy=known
    )
