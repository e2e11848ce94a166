"""The clock that all parts of a demo's day go by, and the owner who answers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

from viox.demo_day import Clock
from viox.demo_owner import OTHERWISE, answer_to

ZONE = ZoneInfo("America/Los_Angeles")


def clock() -> Clock:
    made = Clock(ZONE)
    made.monday = datetime(2026, 11, 30, 8, tzinfo=ZONE)
    return made


async def test_the_clock_goes_to_the_next_moment_that_anybody_waits_for() -> None:
    made, came = clock(), []

    async def part(name: str, days: int, at: str) -> None:
        await made.until(days, at)
        came.append(name)

    tasks = [
        asyncio.create_task(part(*one)) for one in (("late", 2, "09:00"), ("soon", 1, "10:05"), ("too", 1, "10:05"))
    ]
    await asyncio.sleep(0)
    assert made.next() == (1, "10:05")
    made.release(made.next())
    await asyncio.gather(*tasks[1:])
    assert came == ["soon", "too"]
    assert made.next() == (2, "09:00")
    made.release(made.next())
    await tasks[0]
    assert not made.waiting


def test_moments_are_those_of_the_business_also_when_its_clocks_change() -> None:
    made = clock()
    made.monday = datetime(2027, 3, 8, 9, tzinfo=ZONE)
    assert [made.moment(days, "10:05").astimezone(ZoneInfo("UTC")).hour for days in (0, 7)] == [18, 17]


def test_the_owner_answers_by_the_words_of_a_question_and_takes_the_first_choice() -> None:
    answers = {"Airtable workspace": "wsp1"}
    assert answer_to("In which Airtable workspace?", None, answers) == "wsp1"
    assert answer_to("Is it done?", ["Done", "Not yet"], answers) == "Done"
    assert answer_to("What now?", None, answers) == OTHERWISE
