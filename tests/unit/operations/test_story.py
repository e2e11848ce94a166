"""Runs are told in plain sentences, by rule; without content they name nothing that was said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue
from shared.operations import cases, story, titles
from shared.operations.sentences import doing

AT = datetime(2026, 11, 30, tzinfo=UTC)


def call(tool: str, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    given = {
        "call_id": f"r.1.{more.pop('index', 0)}",
        "step": 1,
        "tool": tool,
        "vendor": tool.partition("_")[0],
        "state": state,
    }
    rest = {"effect": "once", "arguments": {}, "attempt": 1, "result": {}, "error": None, "http_status": 200}
    return given | rest | {"latency_ms": 5.0, "created_at": AT} | more


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("succeeded", "Closer created a contact in HubSpot (Ana Rossi)."),
        ("failed", "Closer could not create a contact in HubSpot (Ana Rossi)."),
        ("denied", "Closer was not allowed to create a contact in HubSpot (Ana Rossi)."),
        ("awaiting_approval", "Closer waits for a person's yes to create a contact in HubSpot (Ana Rossi)."),
        ("rejected", "A person refused to let Closer create a contact in HubSpot (Ana Rossi)."),
        ("expired", "Nobody decided in time whether Closer may create a contact in HubSpot (Ana Rossi)."),
        ("unknown", "Nobody knows yet whether Closer created a contact in HubSpot (Ana Rossi)."),
        ("executing", "Closer is about to create a contact in HubSpot (Ana Rossi)."),
    ],
)
def test_a_call_is_one_sentence_in_every_state(state: str, told: str) -> None:
    arguments = {"properties": {"firstname": "Ana", "lastname": "Rossi", "email": "ana@example.com"}}
    made = call("hubspot_create_contact", state, arguments=arguments)
    assert story.sentence("closer", made) == told
    assert "Ana" not in story.sentence("closer", made, content=False)


def test_a_look_up_says_what_it_found() -> None:
    found = call("memory_recall", effect="read", result={"items": [1, 2]}, arguments={"entity": "phone:+1"})
    assert story.sentence("people-ops", found) == "People Ops recalled what is known (phone:+1) and found 2."
    nobody = call("hubspot_get_contact_by_email", effect="read", http_status=404, result=None)
    assert story.sentence("closer", nobody) == "Closer looked up a contact in HubSpot and found nothing."
    valid = call("twilio_lookup_number", effect="read", result={"valid": True, "validation_errors": []})
    assert story.sentence("closer", valid) == "Closer checked a number with Twilio."


def test_an_imported_tool_is_named_by_its_own_words() -> None:
    assert doing("northwind_listJobs", "northwind").past == "listed jobs in Northwind"
    assert doing("acme_frobnicate", "acme").base == "use frobnicate in Acme"
    assert doing("stripe_create_refund", None).base == "create a refund in Stripe"


def test_many_calls_alike_are_one_line() -> None:
    calls = [call("airtable_create_field", index=number) for number in range(27)]
    steps = [{"step": 1, "kind": "plan", "body": {"node": "x", "calls": []}, "created_at": AT}]
    (line,) = story.story({"agent": "operator"}, steps, calls)
    assert (line.text, line.calls, line.took_ms) == ("Operator created a field in Airtable, 27 times.", 27, 135.0)


def test_calls_without_a_step_are_told_where_they_happened() -> None:
    later = AT.replace(hour=2)
    steps = [{"step": 3, "kind": "outcome", "body": {"text": "Done.", "status": "finished"}, "created_at": later}]
    told = story.story({"agent": "voice"}, steps, [call("twilio_send_message", arguments={"To": "+1", "Body": "Hi"})])
    assert [line.tone for line in told] == ["done", "done"]
    assert told[0].text == "Voice sent a text message through Twilio (to +1: “Hi”)."


def test_titles_say_what_a_run_is_about() -> None:
    lead = {"first_name": "Ana", "last_name": "Rossi", "interest": "a garden plan"}
    assert titles.title("viox.lead.created", lead) == "New lead: Ana Rossi, a garden plan"
    assert titles.title("viox.lead.created", lead, content=False) == "New lead"
    assert titles.title("com.acme.order.late", {"name": "O-1"}) == "Acme: order late: O-1"
    paid = {"data": {"object": {"amount_paid": 81400, "currency": "usd", "customer_email": "a@example.com"}}}
    assert titles.title("com.stripe.invoice.paid", paid) == "Invoice paid: 814.00 USD, a@example.com"


@pytest.mark.parametrize("data", [None, [], "text", {"From": None}, {"data": {"object": None}}, {"name": {"name": 7}}])
def test_events_of_any_shape_have_a_title(data: Any) -> None:
    for type_ in ("viox.lead.created", "com.twilio.message.received", "com.stripe.invoice.paid", "com.x.y", "odd"):
        assert titles.title(type_, data)


def test_the_button_names_an_amount_only_where_its_currency_is_known() -> None:
    asked = {"tool": "stripe_create_refund", "arguments": {"amount": 24_000}}
    assert cases.button(asked) == "Approve: create a refund in Stripe"
    assert cases.button(asked | {"arguments": {"amount": 24_000, "currency": "usd"}}) == "Approve 240.00 USD"
    known = {"amount_minor": 500, "currency": "eur"}
    assert cases.button(asked, known) == "Approve 5.00 EUR"
    assert cases.button(asked, known | {"currency": None}) == "Approve: create a refund in Stripe"
    told = cases.facts({"amount": 500, "count": 500}, known | {"currency": None})
    assert told == [("Amount", "500 cents (or what is smallest in its currency)"), ("Count", "500")]
    assert cases.facts({"amount": 500}, known) == [("Amount", "5.00 EUR")]


def test_what_each_of_our_tools_does_is_said_with_a_verb_of_its_own() -> None:
    deeds = {tool.name: doing(tool.name, tool.vendor) for tool in catalogue.load().tools.values()}
    assert len(deeds) > 100
    assert {name: deed.base for name, deed in deeds.items() if deed.base.startswith("use ")} == {}
