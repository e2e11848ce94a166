"""The business profile: what it may say, what is wrong with it, and its hours in any zone on any day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business import WEEKDAYS, Business, Schedule, at_local, check_owner, read_business
from shared.errors import BadInput
from shared.people import People

NEW_YORK, BERLIN, UTC_ZONE = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
NIGHT = {"quiet_hours": {"start": "21:00", "end": "08:00"}}
WHOLE = """
name: Northwind Plumbing
trade: plumbing and heating
time_zone: America/Chicago
currency: USD
owner: Dana
tone: friendly, short, no jargon
opening_hours:
  mon: 08:00-17:00
  tue: [08:00-12:00, 13:00-17:00]
  sat: closed
quiet_hours: {start: "21:00", end: "08:00"}
prices:
  - {name: Call-out, amount: 89.00, unit: visit}
  - {name: Hour of work, amount: 120, unit: hour}
facts:
  - We serve the north side of the city.
schedules:
  - {briefing: day, at: "07:30", on: [mon, tue, wed, thu, fri]}
  - {briefing: week, at: "16:00", on: fri}
"""


def business(**given: Any) -> Business:
    return Business.model_validate(given)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_whole_profile_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(WHOLE)
    found = read_business(tmp_path / "b.yaml")
    assert [(str(one.amount), one.unit) for one in found.prices] == [("89.00", "visit"), ("120", "hour")]
    assert found.opening_hours is not None
    assert [len(found.opening_hours[day]) for day in ("mon", "tue", "sat")] == [1, 2, 0]
    assert [one.name for one in found.schedules] == ["briefing-day", "briefing-week"]


def test_a_profile_of_before_is_still_one(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("name: Old\ntime_zone: Europe/Berlin\n")
    found = read_business(tmp_path / "b.yaml")
    moment = at("2026-11-30T02:00:00Z")
    assert not found.is_quiet(moment, BERLIN)
    assert found.next_open(moment) == moment == found.next_loud(moment, BERLIN)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("time_zone: Europe/Berln", "time_zone: .*no such time zone"),
        ("currency: euro", "currency"),
        ("quiet_hours: {start: 9pm, end: '08:00'}", "quiet_hours.start: .*not a time"),
        ("quiet_hours: {start: '08:00', end: '08:00'}", "quiet_hours: .*the same"),
        ("opening_hours: {mon: 17:00-08:00}", "opening_hours.mon.0: .*ends before it begins"),
        ("opening_hours: {mon: 0800}", "opening_hours.mon.0: .*not a span"),
        ("opening_hours: {montag: closed}", "opening_hours.montag"),
        ("opening_hours: {mon: closed}", "opening_hours: .*closed on every day"),
        ("opening_hours: {mon: [08:00-12:00, 11:00-15:00]}", "two spans of mon overlap"),
        ("prices: [{name: Visit, amount: '89'}]", "prices need a `currency`"),
        ("currency: JPY\nprices: [{name: Visit, amount: '89.5'}]", "more places than JPY"),
        ("currency: USD\nprices: [{name: Visit, amount: -1}]", "prices.0.amount"),
        ("schedules: [{briefing: week, at: '16:00', on: [mon, tue]}]", "weekly briefing is on one weekday"),
        ("schedules: [{briefing: day, at: '25:00'}]", "schedules.0.at: .*not a time"),
        ("schedules: [{briefing: month, at: '07:00'}]", "schedules.0.briefing"),
        ("schedules: [{upkeep: desks, at: '07:00'}]", "schedules.0.upkeep"),
        ("schedules: [{at: '07:00'}]", "for a `briefing` .* or for an `upkeep`"),
        ("schedules: [{briefing: day, upkeep: contacts, at: '07:00'}]", "for a `briefing` .* or for an `upkeep`"),
        ("schedules: [{briefing: day, at: '07:00'}, {briefing: day, at: '19:00'}]", "two schedules are called"),
        ("quiet_hour: {}", "quiet_hour: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "b.yaml").write_text(line + "\n")
    with pytest.raises(BadInput, match=told) as raised:
        read_business(tmp_path / "b.yaml")
    assert raised.value.field == "VIOX_BUSINESS"


def test_the_owner_is_somebody_of_the_people() -> None:
    people = People.model_validate({"people": [{"name": "Dana", "roles": ["owner"]}]})
    check_owner(business(owner="dana"), people)
    check_owner(business(), People())
    with pytest.raises(BadInput, match="nobody is called 'Lee'") as raised:
        check_owner(business(owner="Lee"), people)
    assert raised.value.remedy == "One of Dana."


@pytest.mark.parametrize(
    ("moment", "zone", "quiet", "loud"),
    [
        ("2026-11-30T20:59:59-05:00", NEW_YORK, False, None),
        ("2026-11-30T21:00:00-05:00", NEW_YORK, True, "2026-12-01T08:00:00-05:00"),
        ("2026-12-01T03:00:00-05:00", NEW_YORK, True, "2026-12-01T08:00:00-05:00"),
        ("2026-12-01T08:00:00-05:00", NEW_YORK, False, None),
        ("2026-12-01T08:00:00-05:00", BERLIN, False, None),
        ("2026-12-01T16:00:00-05:00", BERLIN, True, "2026-12-02T08:00:00+01:00"),
        ("2026-03-08T01:30:00-05:00", NEW_YORK, True, "2026-03-08T08:00:00-04:00"),  # the night of the skipped hour
        ("2026-10-31T22:00:00-04:00", NEW_YORK, True, "2026-11-01T08:00:00-05:00"),  # and of the one that came twice
    ],
)
def test_quiet_hours_are_those_of_the_zone(moment: str, zone: ZoneInfo, quiet: bool, loud: str | None) -> None:
    found = business(**NIGHT)
    assert found.is_quiet(at(moment), zone) is quiet
    assert found.next_loud(at(moment), zone) == at(loud or moment)


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_end_twice() -> None:
    found = business(quiet_hours={"start": "21:00", "end": "01:30"})
    assert found.next_loud(at("2026-11-01T01:10:00-04:00"), NEW_YORK) == at("2026-11-01T01:30:00-04:00")
    assert found.next_loud(at("2026-11-01T01:10:00-05:00"), NEW_YORK) == at("2026-11-01T01:30:00-05:00")


def test_quiet_hours_may_be_within_a_day() -> None:
    found = business(quiet_hours={"start": "12:00", "end": "14:00"})
    assert found.is_quiet(at("2026-11-30T13:00:00Z"), UTC_ZONE)
    assert not found.is_quiet(at("2026-11-30T23:00:00Z"), UTC_ZONE)
    assert found.next_loud(at("2026-11-30T13:00:00Z"), UTC_ZONE) == at("2026-11-30T14:00:00Z")


ZONES = st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"])
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(MOMENTS, ZONES, st.times(), st.times())
def test_after_the_next_loud_moment_it_is_loud(moment: datetime, name: str, start: time, end: time) -> None:
    start, end, zone = start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0), ZoneInfo(name)
    if start == end:
        return
    found = business(quiet_hours={"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"})
    loud = found.next_loud(moment, zone)
    assert moment <= loud <= moment + timedelta(hours=26)
    assert not found.is_quiet(loud, zone)
    assert (loud > moment) is found.is_quiet(moment, zone)


OPEN = {
    "time_zone": "America/New_York",
    "opening_hours": {"mon": ["08:00-12:00", "13:00-17:00"], "fri": "09:00-12:00", "sun": "closed"},
}


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-30T09:00:00-05:00", "2026-11-30T09:00:00-05:00"),  # a Monday
        ("2026-11-30T12:00:00-05:00", "2026-11-30T13:00:00-05:00"),
        ("2026-11-30T17:00:00-05:00", "2026-12-04T09:00:00-05:00"),
        ("2026-12-04T12:30:00-05:00", "2026-12-07T08:00:00-05:00"),
        ("2026-10-30T12:30:00-04:00", "2026-11-02T08:00:00-05:00"),  # over the end of summer time
    ],
)
def test_the_business_opens_next(moment: str, opens: str) -> None:
    assert business(**OPEN).next_open(at(moment)) == at(opens)


def test_a_skipped_time_is_as_much_later_and_one_that_comes_twice_is_the_first() -> None:
    assert at_local(date(2026, 3, 8), time(2, 30), NEW_YORK) == at("2026-03-08T07:30:00Z")
    assert at_local(date(2026, 11, 1), time(1, 30), NEW_YORK) == at("2026-11-01T05:30:00Z")


@given(MOMENTS, ZONES, st.times())
def test_the_days_of_a_schedule_come_one_after_the_other(moment: datetime, name: str, clock: time) -> None:
    """Whatever clocks do: a minute on it is the same day or the next of its weekdays, never an earlier one."""
    zone = ZoneInfo(name)
    made = Schedule.model_validate({"briefing": "day", "at": f"{clock:%H:%M}"})
    before, after = made.latest(moment, zone), made.latest(moment + timedelta(minutes=1), zone)
    assert after - before in (timedelta(), timedelta(days=1))


def test_a_schedule_knows_its_weekdays() -> None:
    made = Schedule.model_validate({"briefing": "day", "at": "07:30", "on": ["mon", "wed"]})
    assert made.latest(at("2026-12-01T12:00:00Z"), UTC_ZONE) == date(2026, 11, 30)
    assert made.latest(at("2026-11-30T07:29:00Z"), UTC_ZONE) == date(2026, 11, 25)


def test_a_schedule_with_several_times_is_as_many_schedules() -> None:
    given = {"schedules": [{"upkeep": "automations", "at": ["07:00", "12:30"]}, {"upkeep": "contacts", "at": "02:30"}]}
    found = Business.model_validate(given)
    assert [(one.name, one.at) for one in found.upkeep] == [
        ("upkeep-automations-0700", time(7)),
        ("upkeep-automations-1230", time(12, 30)),
        ("upkeep-contacts", time(2, 30)),
    ]
    assert found.upkeep[0].on == WEEKDAYS
