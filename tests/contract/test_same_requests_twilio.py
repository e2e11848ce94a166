"""Twilio: our requests equal the SDK's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twilio.rest import Client

from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, Twilio
from tests.contract.side_by_side import SideBySide

pytestmark = pytest.mark.filterwarnings("ignore")
TO = "+14155550123"


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": AUTH_TOKEN, "TWILIO_FROM": NUMBER,
                "TWILIO_BASE_URL": "{url}", "TWILIO_LOOKUPS_BASE_URL": "{url}"}  # fmt: skip
    made = SideBySide(Twilio(), settings)
    yield made
    made.close()


@pytest.fixture
def sdk(both: SideBySide) -> Any:
    client = Client(ACCOUNT, AUTH_TOKEN)
    client.api.base_url = client.lookups.base_url = both.url
    return client


def test_messages(both: SideBySide, sdk: Any) -> None:
    ours = both.ours("twilio_send_message", To=TO, Body="Hi & you+me é")
    made = sdk.messages.create(to=TO, from_=NUMBER, body="Hi & you+me é")
    assert ours == both.theirs()
    ours = both.ours("twilio_get_message", MessageSid=made.sid)
    sdk.messages(made.sid).fetch()
    assert ours == both.theirs()
    ours = both.ours("twilio_list_messages", To=TO, PageSize=20)
    sdk.messages.list(to=TO, page_size=20, limit=1)
    assert ours == both.theirs()


def test_lookup(both: SideBySide, sdk: Any) -> None:
    ours = both.ours("twilio_lookup_number", PhoneNumber=TO, Fields="line_type_intelligence")
    sdk.lookups.v2.phone_numbers(TO).fetch(fields="line_type_intelligence")
    assert ours == both.theirs()
