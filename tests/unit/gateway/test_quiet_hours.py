"""Nobody is texted or called in their quiet hours, but in answer; the business's own people at any hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from services.tool_gateway.call.call import Preconditions, Requested
from services.tool_gateway.call.judge import judge
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy import files
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.recipient import recipient_of
from shared.business import Business
from shared.ids import call_id, run_id, thread_id

TOOLS = catalogue.load()
BUSINESS = Business.model_validate({"time_zone": "America/Chicago", "quiet_hours": {"start": "21:00", "end": "08:00"}})
TEXTS = {name: text for name, text in files.texts(None).items() if name == "common.cedar"}
OPEN = '@id("open") permit(principal, action, resource);'
POLICIES = Policies(TEXTS | {"open.cedar": OPEN}, TOOLS, business=BUSINESS)
# 22:30 in Chicago, 20:30 in Los Angeles, 05:30 in Berlin
NOW = datetime.fromisoformat("2026-12-01T04:30:00Z")
CHICAGO, LOS_ANGELES, BERLIN = "+13125550123", "+14155550123", "+4915112345678"
NEVER = {"count_1h": 0}
UNTOUCHED = Known(NEVER, frozenset(), own_party=True, copied=False, trigger={"type": "x", "ours": True})
RUN = run_id("closer", "/t", "1")
CALLS: list[tuple[str, Callable[[str], dict[str, Any]]]] = [
    ("twilio_send_message", lambda to: {"To": to, "Body": "hello"}),
    ("twilio_place_call", lambda to: {"To": to, "Twiml": "<Response/>"}),
    ("elevenlabs_call", lambda to: {"to_number": to, "conversation_initiation_client_data": {"user_id": "u"}}),
]


def denied(tool: str, arguments: dict[str, Any], *, wrote: bool = False, insiders: tuple[str, ...] = ()) -> Any:
    """The error of a call; None when it may be made."""
    found = recipient_of(TOOLS.tools[tool], arguments, BUSINESS, insiders, NOW)
    assert found
    told = {"quiet": found.quiet_until is not None, "ours": found.ours, "wrote": wrote}
    known = replace(UNTOUCHED, recipient=told, quiet_until=found.quiet_until)
    one = Requested(call_id(RUN, 1, 0), RUN, 1, 0, "voice", thread_id("voice", "c"), "c", tool, arguments, None)
    standing = Preconditions(False, False, False, known=known)
    tools = catalogue.Catalogue(TOOLS.tools.values(), {"voice": frozenset({tool})})
    return judge(one, standing, tools, POLICIES, NOW).error


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
@pytest.mark.parametrize(
    ("to", "until"),
    [(CHICAGO, "2026-12-01T08:00:00-06:00"), (BERLIN, "2026-12-01T08:00:00+01:00"), (LOS_ANGELES, None)],
)
def test_it_is_the_recipients_clock_that_counts(tool: str, arguments: Any, to: str, until: str | None) -> None:
    error = denied(tool, arguments(to))
    if until is None:
        assert error is None
    else:
        assert error["rules"] == ["sends.quiet-hours"]
        assert until in error["remedy"]


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_whoever_has_just_written_is_answered(tool: str, arguments: Any) -> None:
    assert denied(tool, arguments(CHICAGO), wrote=True) is None


@pytest.mark.parametrize(("tool", "arguments"), CALLS)
def test_our_own_people_are_told_at_any_hour(tool: str, arguments: Any) -> None:
    assert denied(tool, arguments(CHICAGO), insiders=(CHICAGO,)) is None


def test_without_quiet_hours_nobody_has_any() -> None:
    found = recipient_of(TOOLS.tools["twilio_send_message"], {"To": CHICAGO}, Business(), (), NOW)
    assert found
    assert found.quiet_until is None


def test_what_reaches_nobody_by_telephone_has_no_recipient() -> None:
    assert recipient_of(TOOLS.tools["email_send"], {"to": ["a@example.com"]}, BUSINESS, (), NOW) is None


def test_another_denial_says_nothing_of_the_hour() -> None:
    never = '@id("never") forbid(principal, action == Action::"twilio_send_message", resource);'
    policies = Policies({"open.cedar": OPEN, "own.cedar": never}, TOOLS, business=BUSINESS)
    one = Requested(
        call_id(RUN, 1, 0), RUN, 1, 0, "closer", thread_id("closer", "c"), "c", CALLS[0][0], CALLS[0][1](CHICAGO), None
    )
    standing = Preconditions(False, False, False, known=replace(UNTOUCHED, quiet_until=NOW))
    error = judge(one, standing, TOOLS, policies, NOW).error
    assert error
    assert error["remedy"] == "Do without it, and say so."
