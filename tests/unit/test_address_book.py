"""An event for an owner that does not hear of it is an error at the start, not a lost message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue
from shared.bus import events, topics
from shared.bus.app import App
from shared.errors import BadInput

TICKET = events.REGISTRY["viox.ticket.created"]


def test_every_owner_of_this_deployment_hears_of_what_it_owns() -> None:
    events.check_owners()


def test_an_owner_that_does_not_consume_the_topic_is_named() -> None:
    moved = replace(TICKET, owners=("steward", "builder"))
    assert events.unheard([moved], topics.LISTENERS) == [
        "builder owns viox.ticket.created, and does not consume viox.events.support"
    ]


async def test_a_service_does_not_start_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(events.REGISTRY, TICKET.type, replace(TICKET, owners=("builder",)))

    def build(settings: object) -> object:
        raise AssertionError("built")

    made = App("steward", build)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="builder owns viox"):
        async with made._opened():
            pass


@pytest.mark.parametrize(("agent", "hears"), [("closer", True), ("people-ops", True), ("builder", False)])
def test_who_opens_conversations_by_sms_hears_the_answers(agent: str, hears: bool) -> None:
    tools, grants = catalogue.load().tools.values(), {agent: frozenset({"twilio_send_message"})}
    if hears:
        Catalogue(tools, grants)
        return
    with pytest.raises(BadInput, match=r"does not consume viox\.events\.telephony") as raised:
        Catalogue(tools, grants)
    assert raised.value.field == "services/builder/tools.yaml"


def test_the_gateways_own_notices_open_no_conversation() -> None:
    Catalogue(catalogue.load().tools.values(), {"gateway": frozenset({"twilio_send_message"})})
