"""Whether the checks of a day see what they are there for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sandbox.scenarios import hiring, story, trouble
from sandbox.scenarios.story import Check, Day, Part, State, blind, nothing, twice

LEAD = {"first_name": "Ana", "last_name": "Lopez", "email": "ana@example.com", "phone": "+14155550101"}


def sms(to: str, body: str) -> dict[str, Any]:
    return {"to": to, "body": body}


def state(**vendors: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "twilio": {"messages": [], "opted_out": []},
        "mail": {"messages": [], "smtp_port": 25},
        "hubspot": {"objects": {"contacts": {}, "deals": {}}, "associations": []},
        "record": {"runs": [], "calls": [], "approvals": []},
        "stops": [],
    }
    return made | vendors


class Texted(Part):
    title = "Texted"

    async def play(self, day: Day) -> None:
        """Nothing: the states are made by hand."""

    def checks(self, state: State) -> list[Check]:
        return [
            Check("one text", len(story.texts(state, LEAD["phone"])), 1),
            Check("nobody else is texted", [m for m in state["twilio"]["messages"] if m["to"] != LEAD["phone"]], []),
            Check("at least one text", bool(story.texts(state, LEAD["phone"])), True),
            Check("at least one text, which is enough", bool(story.texts(state, LEAD["phone"])), True, counts=False),
        ]


def test_a_check_that_cannot_fail_is_named() -> None:
    good = state(twilio={"messages": [sms(LEAD["phone"], "Hi")]})
    assert all(check.holds for check in Texted().checks(good))
    assert blind(Texted(), good) == [
        "nobody else is texted: it holds though nothing happened",
        "nobody else is texted: it holds though it happened twice",
        "at least one text: it holds though it happened twice",
    ]


def test_nothing_and_twice_leave_the_state_alone_and_reach_every_kind_of_it() -> None:
    contact = {"id": "1", "properties": {"email": LEAD["email"]}}
    stop = {"at": "+0 09:00", "texts": {LEAD["phone"]: 1}, "mails": {}}
    found = state(
        hubspot={"objects": {"contacts": {"1": contact}}, "associations": [["deals", "7", "contacts", "1"]]},
        stops=[stop],
    )
    before = copy.deepcopy(found)
    assert [len(story.contacts(one, LEAD["email"])) for one in (nothing(found), found, twice(found))] == [0, 1, 2]
    counted = [story.at_stop(one, "texts", LEAD["phone"], "+0 09:00") for one in (nothing(found), found, twice(found))]
    assert counted == [0, 1, 2]
    assert found == before


def test_a_stop_where_the_clock_never_stood_is_no_zero() -> None:
    assert story.at_stop(state(), "texts", LEAD["phone"], "+3 10:05") is None


def night(*sent: int, denied: int = 1) -> tuple[Part, dict[str, Any]]:
    part = trouble.Night()
    part.lead = dict(LEAD)
    stops = [
        {"at": f"+{days} {at}", "texts": {LEAD["phone"]: count}, "mails": {}}
        for (days, at), count in zip((trouble.NIGHT, trouble.EARLY, trouble.MORNING), sent, strict=True)
    ]
    call = {"tool": "twilio_send_message", "agent": "closer", "state": "denied", "arguments": {"To": LEAD["phone"]}}
    record = {"runs": [], "calls": [call] * denied, "approvals": []}
    return part, state(stops=stops, record=record)


@pytest.mark.parametrize(
    ("sent", "denied", "wrong"),
    [
        ((0, 0, 1), 1, []),
        ((1, 1, 1), 0, ["the text is refused once at night", "and goes out in the morning"]),
        ((0, 0, 0), 1, ["and goes out in the morning"]),
        ((0, 0, 2), 1, ["and goes out in the morning"]),
        ((0, 1, 1), 1, ["and goes out in the morning"]),
    ],
)
def test_a_text_at_night_is_seen(sent: tuple[int, ...], denied: int, wrong: list[str]) -> None:
    part, found = night(*sent, denied=denied)
    assert [check.says for check in part.checks(found) if not check.holds] == wrong


def interviews(*times: str) -> tuple[Part, dict[str, Any]]:
    part = hiring.Hiring()
    part.people = [{"candidate_id": f"C{n}", "phone": f"+1415555010{n}", "email": f"{n}@example.com"} for n in (1, 2)]
    asked = [sms(one["phone"], "Thank you for applying. Which time suits you?") for one in part.people]
    turned = sms(part.people[1]["phone"], "That time has just been taken. Which time suits you?")
    agreed = [
        sms(one["phone"], f"See you on {at}. Write to us if you cannot come.")
        for one, at in zip(part.people, times, strict=True)
    ]
    claims = [
        {
            "tool": "records_claim",
            "agent": "people-ops",
            "state": "succeeded",
            "arguments": {"entity": f"interview:{at}", "holder": f"candidate:{one['candidate_id']}"},
            "result": {"mine": True},
        }
        for one, at in zip(part.people, times, strict=True)
    ]
    record = {"runs": [], "calls": claims, "approvals": []}
    return part, state(twilio={"messages": [*asked, turned, *agreed]}, record=record)


def test_two_people_at_one_time_are_seen() -> None:
    part, apart = interviews("Tuesday at 10:00", "Tuesday at 11:00")
    assert [check.says for check in part.checks(apart) if not check.holds] == []
    part, together = interviews("Tuesday at 10:00", "Tuesday at 10:00")
    assert [check.says for check in part.checks(together) if not check.holds] == [
        "both come, at different times",
        "each time is claimed by one of them",
    ]
    assert blind(part, apart) == []
