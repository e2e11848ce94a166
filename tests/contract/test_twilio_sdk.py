"""Twilio's own SDK takes the emulator for the real thing. All requests come from the SDK."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, Twilio
from tests.contract.emulators import Served

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def emulator() -> Twilio:
    return Twilio()


def sdk(served: Served, token: str = AUTH_TOKEN) -> Any:
    client = Client(ACCOUNT, token)
    client.api.base_url = served.url
    client.lookups.base_url = served.url
    return client


def test_create_read_redact_delete(served: Served) -> None:
    client = sdk(served)
    made = client.messages.create(to="+14155550100", from_=NUMBER, body="Héllo & you+me")
    assert made.status in ("queued", "sent")
    assert client.messages(made.sid).fetch().body == "Héllo & you+me"
    assert client.messages(made.sid).update(body="").body == ""
    assert client.messages(made.sid).delete()
    assert served.operations == ["send", "redact", "delete"]


def test_a_trial_account_puts_a_line_before_its_texts(served: Served) -> None:
    client = sdk(served)
    assert client.api.accounts(ACCOUNT).fetch().type == "Full"
    httpx2.post(f"{served.url}/_sandbox/account", json={"type": "Trial"}).raise_for_status()
    assert client.api.accounts(ACCOUNT).fetch().type == "Trial"
    made = client.messages.create(to="+14155550100", from_=NUMBER, body="Hello")
    assert made.body == "Sent from your Twilio trial account - Hello"
    assert [m.body for m in client.messages.list(to="+14155550100")] == [made.body]


def test_lists_filter_and_page(served: Served) -> None:
    client = sdk(served)
    for number in range(5):
        client.messages.create(to="+14155550100", from_=NUMBER, body=str(number))
    client.messages.create(to="+14155550199", from_=NUMBER, body="other")
    mine = client.messages.list(to="+14155550100", page_size=2)
    assert [m.body for m in mine] == ["4", "3", "2", "1", "0"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert client.messages.list(date_sent_after=tomorrow) == []
    assert len(client.messages.list(limit=3)) == 3


def test_lookup(served: Served) -> None:
    assert sdk(served).lookups.v2.phone_numbers("+14155550100").fetch(fields="line_type_intelligence").valid
    assert not sdk(served).lookups.v2.phone_numbers("12").fetch().valid


@pytest.mark.parametrize(
    ("to", "sender", "body", "code"),
    [("0123", NUMBER, "x", 21211), ("+14155550100", "+1999", "x", 21212), ("+14155550100", NUMBER, "", 21602)],
)
def test_errors_are_the_vendors(served: Served, to: str, sender: str, body: str, code: int) -> None:
    with pytest.raises(TwilioRestException) as error:
        sdk(served).messages.create(to=to, from_=sender, body=body)
    assert (error.value.status, error.value.code) == (400, code)


def test_missing_wrong_token_and_throttled(served: Served) -> None:
    with pytest.raises(TwilioRestException) as missing:
        sdk(served).messages("SM" + "0" * 32).fetch()
    assert (missing.value.status, missing.value.code) == (404, 20404)
    with pytest.raises(TwilioRestException) as refused:
        sdk(served, "wrong").messages.create(to="+14155550100", from_=NUMBER, body="x")
    assert refused.value.code == 20003
    served.fault(kind="429")
    with pytest.raises(TwilioException):
        sdk(served).messages.list()
