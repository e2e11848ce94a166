"""Calls, numbers and everything Twilio sends by itself. Requests come from its SDK, which also checks the signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, UNREACHABLE, Twilio
from tests.contract.emulators import Served
from tests.contract.receiver import Arrived, Receiver

pytestmark = pytest.mark.filterwarnings("ignore")
TO = "+14155550100"
TWIML = "<Response><Say>Hi</Say></Response>"


@pytest.fixture
def emulator() -> Twilio:
    return Twilio()


def sdk(served: Served) -> Any:
    client = Client(ACCOUNT, AUTH_TOKEN)
    client.api.base_url = served.url
    client.lookups.base_url = served.url
    return client


def form_of(receiver: Receiver, arrived: Arrived, token: str = AUTH_TOKEN) -> dict[str, str]:
    """The parameters, if the vendor's own validator takes the signature."""
    form = dict(parse_qsl(arrived.body, keep_blank_values=True))
    assert RequestValidator(token).validate(receiver.url + arrived.path, form, arrived.headers["X-Twilio-Signature"])
    return form


def test_a_call_rings_talks_and_ends(served: Served, receiver: Receiver) -> None:
    events = ["initiated", "ringing", "answered", "completed"]
    with served.stopped():
        call = sdk(served).calls.create(
            to=TO,
            from_=NUMBER,
            url=f"{receiver.url}/voice?x=1",
            record=True,
            status_callback=f"{receiver.url}/status",
            status_callback_event=events,
        )
        assert call.sid.startswith("CA")
        assert call.status == "queued"
        served.passes(2)
        ended = sdk(served).calls(call.sid).fetch()
    assert ended.status == "completed"
    assert (ended.duration, ended.direction) == ("1", "outbound-api")
    (recording,) = sdk(served).calls(call.sid).recordings.list()
    assert (recording.call_sid, recording.duration) == (call.sid, "1")
    assert [r.sid for r in sdk(served).recordings.list(call_sid=call.sid)] == [recording.sid]
    forms = [(a.path, form_of(receiver, a)) for a in receiver.wait(5)]
    told = [f for path, f in forms if path == "/status"]
    assert [f["CallStatus"] for f in told] == ["initiated", "ringing", "in-progress", "completed"]
    assert [f["SequenceNumber"] for f in told] == ["0", "1", "2", "3"]
    assert told[-1]["CallDuration"] == "1"
    assert [f["CallSid"] for path, f in forms if path == "/voice?x=1"] == [call.sid]


def test_calls_are_ended_redirected_and_filtered(served: Served) -> None:
    client = sdk(served)
    with served.stopped():
        calls_that_end(served, client)
    assert served.operations == ["call", "call", "end_call", "call", "redirect_call", "end_call"]


def calls_that_end(served: Served, client: Any) -> None:
    first, second = (client.calls.create(to=to, from_=NUMBER, twiml=TWIML) for to in (TO, "+15005550011"))
    assert client.calls(first.sid).update(status="canceled").status == "canceled"
    served.passes(0.4)
    assert client.calls(second.sid).fetch().status == "busy"
    with pytest.raises(TwilioRestException) as over:
        client.calls(second.sid).update(twiml=TWIML)
    assert over.value.code == 21220
    third = client.calls.create(to=TO, from_=NUMBER, twiml=TWIML)
    served.passes(0.4)
    assert client.calls(third.sid).fetch().status == "in-progress"
    assert client.calls(third.sid).update(twiml="<Response/>").status == "in-progress"
    assert client.calls(third.sid).update(status="completed").status == "completed"
    assert [c.sid for c in client.calls.list(to=TO, page_size=1)] == [third.sid, first.sid]
    assert [c.sid for c in client.calls.list(status="busy")] == [second.sid]
    assert client.calls.list(start_time_after=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(client.calls.list(start_time_after=datetime.now(UTC) - timedelta(hours=1))) == 3
    assert client.calls(third.sid).recordings.list() == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"to": "12", "from_": NUMBER, "twiml": TWIML}, 21211),
        ({"to": TO, "from_": "+1999", "twiml": TWIML}, 21210),
        ({"to": TO, "from_": NUMBER}, 21205),
    ],
)
def test_wrong_calls(served: Served, given: dict[str, str], code: int) -> None:
    with pytest.raises(TwilioRestException) as error:
        sdk(served).calls.create(**given)
    assert (error.value.status, error.value.code) == (400, code)


def test_message_callbacks(served: Served, receiver: Receiver) -> None:
    send = sdk(served).messages.create
    with served.stopped():
        send(to=TO, from_=NUMBER, body="Añb & c", status_callback=f"{receiver.url}/a")
        send(to=UNREACHABLE, from_=NUMBER, body="x", status_callback=f"{receiver.url}/b")
        served.passes(2)
    forms = [(a.path, form_of(receiver, a)) for a in receiver.wait(4)]
    assert [f["MessageStatus"] for path, f in forms if path == "/a"] == ["sent", "delivered"]
    failed = [f for path, f in forms if path == "/b"]
    assert [f["MessageStatus"] for f in failed] == ["sent", "undelivered"]
    assert failed[-1]["ErrorCode"] == "30003"


def test_inbound_goes_to_the_numbers_url_and_to_receivers(served: Served, receiver: Receiver) -> None:
    (number,) = sdk(served).incoming_phone_numbers.list(phone_number=NUMBER)
    sdk(served).incoming_phone_numbers(number.sid).update(sms_url=f"{receiver.url}/sms?tenant=1#rc=2")
    served.control("webhooks", url=f"{receiver.url}/other", events=["inbound"])
    sid = served.control("inbound", **{"from": TO, "body": "Grüße & so", "media": ["https://x.example/1.jpg"]})["sid"]
    arrived = receiver.wait(2)
    assert {a.path for a in arrived} == {"/sms?tenant=1", "/other"}
    for one in arrived:
        form = form_of(receiver, one)
        assert (form["MessageSid"], form["From"], form["Body"]) == (sid, TO, "Grüße & so")
        assert form["MediaUrl0"] == "https://x.example/1.jpg"
        with pytest.raises(AssertionError):
            form_of(receiver, one, "another token")
    read = sdk(served).messages(sid).fetch()
    assert (read.status, read.direction, read.num_media) == ("received", "inbound", "1")
    assert [m.sid for m in sdk(served).messages.list(from_=TO)] == [sid]


def test_a_retried_webhook_has_the_same_token(served: Served, receiver: Receiver) -> None:
    receiver.refusals = 1
    served.control("webhooks", url=receiver.url)
    served.control("inbound", **{"from": TO, "body": "once"})
    first, again = receiver.wait(2)
    assert first.headers["I-Twilio-Idempotency-Token"] == again.headers["I-Twilio-Idempotency-Token"]
    assert first.body == again.body


def test_stop_and_start(served: Served) -> None:
    client = sdk(served)
    served.control("inbound", **{"from": TO, "body": " stop "})
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=TO, from_=NUMBER, body="x")
    assert refused.value.code == 21610
    served.control("inbound", **{"from": TO, "body": "START"})
    assert client.messages.create(to=TO, from_=NUMBER, body="x").sid


def test_a_scheduled_message_can_be_cancelled(served: Served) -> None:
    client = sdk(served)
    made = client.messages.create(
        to=TO,
        messaging_service_sid="MG" + "0" * 32,
        body="later",
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
    )
    assert made.status == "scheduled"
    assert client.messages(made.sid).update(status="canceled").status == "canceled"
    sent = client.messages.create(to=TO, from_=NUMBER, body="now")
    with pytest.raises(TwilioRestException):
        client.messages(sent.sid).update(status="canceled")


def test_lookup_knows_lines_and_what_is_wrong(served: Served) -> None:
    look = sdk(served).lookups.v2.phone_numbers
    found = look("+14155550100").fetch(fields="line_type_intelligence,caller_name")
    assert (found.national_format, found.country_code) == ("(415) 555-0100", "US")
    assert found.line_type_intelligence["type"] == "mobile"
    assert look("4155550100").fetch(country_code="US").phone_number == "+14155550100"
    assert look("12").fetch().validation_errors == ["TOO_SHORT"]
