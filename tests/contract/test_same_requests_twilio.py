"""Twilio: our requests equal the SDK's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, Twilio
from tests.contract.side_by_side import TOOLS, Seen, SideBySide

pytestmark = pytest.mark.filterwarnings("ignore")
TO = "+14155550123"
TWIML = "<Response><Say>Nine o'clock & é</Say></Response>"
Operation = Callable[[SideBySide, Any], Seen]


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM": NUMBER,
        "TWILIO_BASE_URL": "{url}",
        "TWILIO_LOOKUPS_BASE_URL": "{url}",
    }
    made = SideBySide(Twilio(), settings)
    yield made
    made.close()


@pytest.fixture
def sdk(both: SideBySide) -> Any:
    client = Client(ACCOUNT, AUTH_TOKEN)
    client.api.base_url = client.lookups.base_url = both.url
    return client


def scheduled(sdk: Any) -> str:
    """The sid of a message that will not go out before long."""
    made = sdk.messages.create(
        to=TO,
        body="Later",
        messaging_service_sid="MG" + "a" * 32,
        schedule_type="fixed",
        send_at="2031-01-01T00:00:00Z",
    )
    return str(made.sid)


def called(sdk: Any, **more: Any) -> str:
    return str(sdk.calls.create(to=TO, from_=NUMBER, twiml=TWIML, **more).sid)


def send_message(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours("twilio_send_message", To=TO, Body="Hi & you+me é")
    sdk.messages.create(to=TO, from_=NUMBER, body="Hi & you+me é")
    return ours


def get_message(both: SideBySide, sdk: Any) -> Seen:
    sid = sdk.messages.create(to=TO, from_=NUMBER, body="x").sid
    ours = both.ours("twilio_get_message", MessageSid=sid)
    sdk.messages(sid).fetch()
    return ours


def list_messages(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours("twilio_list_messages", To=TO, From=NUMBER, PageSize=20, Page=1, PageToken="PA1")
    sdk.messages.page(to=TO, from_=NUMBER, page_size=20, page_number=1, page_token="PA1")
    return ours


def cancel_message(both: SideBySide, sdk: Any) -> Seen:
    sid = scheduled(sdk)
    ours = both.ours("twilio_cancel_message", MessageSid=sid)
    with pytest.raises(TwilioRestException):  # the same again: it is cancelled by now
        sdk.messages(sid).update(status="canceled")
    return ours


def place_call(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours(
        "twilio_place_call", To=TO, Twiml=TWIML, Timeout=20, Record=True, MachineDetection="DetectMessageEnd"
    )
    sdk.calls.create(to=TO, from_=NUMBER, twiml=TWIML, timeout=20, record=True, machine_detection="DetectMessageEnd")
    return ours


def list_calls(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours("twilio_list_calls", To=TO, From=NUMBER, Status="in-progress", PageSize=5, Page=2, PageToken="PA7")
    sdk.calls.page(to=TO, from_=NUMBER, status="in-progress", page_size=5, page_number=2, page_token="PA7")
    return ours


def get_call(both: SideBySide, sdk: Any) -> Seen:
    sid = called(sdk)
    ours = both.ours("twilio_get_call", CallSid=sid)
    sdk.calls(sid).fetch()
    return ours


def end_call(both: SideBySide, sdk: Any) -> Seen:
    sid = called(sdk)
    ours = both.ours("twilio_end_call", CallSid=sid, Status="canceled")
    with pytest.raises(TwilioRestException):  # the same again: it is over by now
        sdk.calls(sid).update(status="canceled")
    return ours


def list_recordings(both: SideBySide, sdk: Any) -> Seen:
    sid = called(sdk, record=True)
    ours = both.ours("twilio_list_recordings", CallSid=sid, PageSize=10)
    sdk.recordings.list(call_sid=sid, page_size=10)
    return ours


def list_numbers(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours("twilio_list_numbers", PhoneNumber=NUMBER, PageSize=3)
    assert len(sdk.incoming_phone_numbers.list(phone_number=NUMBER, page_size=3)) == 1
    return ours


def lookup_number(both: SideBySide, sdk: Any) -> Seen:
    ours = both.ours("twilio_lookup_number", PhoneNumber=TO, Fields="line_type_intelligence")
    sdk.lookups.v2.phone_numbers(TO).fetch(fields="line_type_intelligence")
    return ours


OPERATIONS: dict[str, Operation] = {
    f"twilio_{f.__name__}": f
    for f in (
        send_message,
        get_message,
        list_messages,
        cancel_message,
        place_call,
        list_calls,
        get_call,
        end_call,
        list_recordings,
        list_numbers,
        lookup_number,
    )
}


def test_every_tool_is_compared() -> None:
    assert {name for name, tool in TOOLS.items() if tool.vendor == "twilio"} == OPERATIONS.keys()


@pytest.mark.parametrize("tool", OPERATIONS)
def test_ours_equals_theirs(both: SideBySide, sdk: Any, tool: str) -> None:
    ours = OPERATIONS[tool](both, sdk)
    assert sum(seen == ours for seen in both.seen) == 2, "both asked, and for the same"
    assert ours == both.theirs()


def test_a_call_may_be_told_where_to_ask(both: SideBySide, sdk: Any) -> None:
    ours = both.ours("twilio_place_call", To=TO, Url="https://voice.example/say?a=1&b=2")
    sdk.calls.create(to=TO, from_=NUMBER, url="https://voice.example/say?a=1&b=2")
    assert ours == both.theirs()
    assert both.call("twilio_place_call", To=TO).state == "failed", "neither Twiml nor Url: the vendor says no"


def test_what_has_ended_cannot_be_ended(both: SideBySide, sdk: Any) -> None:
    sid = called(sdk)
    assert both.call("twilio_end_call", CallSid=sid, Status="completed").state == "succeeded"
    again = both.call("twilio_end_call", CallSid=sid, Status="completed")
    assert again.state == "failed"
    assert again.error is not None
    assert "not in-progress" in again.error["message"]
