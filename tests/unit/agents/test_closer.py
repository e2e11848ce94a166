"""Closer's graph: leads, follow-ups, answers, offers, payments; by rule, with the model asked where only it can say."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.closer import domain
from services.closer.domain import Lead, Pursuit, Terms
from services.closer.work import forms
from shared.bus.consent import wish
from shared.bus.events import ClientSigned
from shared.models.port import AssistantMessage, ModelToolCall
from tests.unit.agents.driving import Scripted, trigger
from tests.unit.agents.front_office import Denied, Desk, Office, closed_by

LEAD: dict[str, Any] = {
    "email": "Ana@X.co",
    "first_name": "Ana",
    "last_name": "Lopez",
    "phone": "+1 (415) 555-0123",
    "company": "Harbor",
    "interest": "a new roof",
    "amount_cents": 1_200_050,
}
ANA = "+14155550123"
FOLLOW_UP: dict[str, Any] = {"timer": {"name": "follow-up", "set_by": "x"}}
UNSENT: dict[str, Any] = {"timer": {"name": "unsent", "set_by": "x"}}


def checkout(paid: str = "paid", **metadata: str) -> dict[str, Any]:
    session = {"id": "cs_1", "object": "checkout.session", "payment_status": paid, "amount_total": 1_200_050}
    about = {"currency": "usd", "metadata": metadata, "customer_details": {"email": "payer@x.co"}}
    return {"type": "checkout.session.completed", "data": {"object": session | about}}


def said(**answer: Any) -> AssistantMessage:
    return AssistantMessage("", (ModelToolCall("1", "answer", answer),))


async def lead(office: Office | None = None, model: Any = None, **changes: Any) -> Desk:
    """A desk at which a lead has come."""
    desk = Desk("closer", office or Office(), model)
    await desk.comes("viox.lead.created", LEAD | changes)
    return desk


def status(desk: Desk) -> str:
    found: str = desk.graph.history[-1].body["status"]
    return found


# -- a lead ----------------------------------------------------------------------------------------------------------------


async def test_a_lead_is_entered_written_to_and_followed_up_with_one_turn_of_the_model() -> None:
    desk = await lead()
    office = desk.office
    assert list(office.contacts.values()) == [
        {"email": "ana@x.co", "firstname": "Ana", "lastname": "Lopez", "phone": ANA, "company": "Harbor"}
    ]
    (deal,) = office.deals.values()
    assert (deal["dealname"], deal["amount"]) == ("Harbor: a new roof", "12000.50")
    assert office.notes() == ["Interested in: a new roof"]
    (task,) = office.arguments("hubspot_create_task")
    assert task["properties"]["hs_timestamp"] == "2026-11-23T10:00:00Z", "the next working day"
    assert task["properties"]["hs_task_priority"] == "HIGH"
    assert office.texts() == [
        "Hi Ana, thanks for asking about a new roof. Shall we send you our offer? A yes is enough."
    ]
    (timer,) = office.timers()
    assert (timer["name"], timer["local"]["days"], timer["local"]["time"]) == ("follow-up", 3, "10:00"), "no Sunday"
    assert status(desk) == "finished"
    assert desk.turns == 1, "what they want"
    assert await desk.replayed() == []


async def test_what_is_looked_up_is_looked_up_at_once() -> None:
    desk = await lead()
    first = next(step.body["calls"] for step in desk.graph.history if step.kind == "plan")
    tools = [call["tool"] for call in first]
    assert tools.count("memory_recall") == 2, "the person, the number"
    assert {"hubspot_get_contact_by_email", "twilio_lookup_number", "hubspot_get_account"} < set(tools)


async def test_a_known_contact_is_completed_and_not_entered_twice() -> None:
    desk = await lead(Office({"email": "ana@x.co", "firstname": "Anna"}))
    assert desk.office.arguments("hubspot_create_contact") == []
    (update,) = desk.office.arguments("hubspot_update_contact")
    assert update["properties"] == {"lastname": "Lopez", "phone": ANA, "company": "Harbor"}, "people's Anna stays"


async def test_a_lead_that_comes_again_gets_a_note_and_no_second_deal() -> None:
    desk = await lead()
    await desk.comes("viox.lead.created", LEAD | {"interest": "and a garage"})
    assert len(desk.office.deals) == len(desk.office.texts()) == 1
    assert desk.office.notes()[-1] == "Asked again: and a garage"


async def test_an_open_deal_that_people_entered_is_no_second_one_either() -> None:
    office = Office({"email": "ana@x.co"})
    office.deals["9"] = {"dealname": "Roof", "dealstage": "qualifiedtobuy", "contact": "1"}
    assert len((await lead(office)).office.deals) == 1
    office.deals["9"]["dealstage"] = "closedlost"
    assert len((await lead(office)).office.deals) == 2, "what is lost may begin anew"


@pytest.mark.parametrize(
    ("changes", "terms", "noted"),
    [
        ({"amount_cents": 4_999}, Terms(), "Asked (below our least): a new roof"),
        ({}, Terms(countries=frozenset({"CA"})), "Asked (not where we work): a new roof"),
    ],
)
async def test_a_lead_that_is_none_for_us_is_noted_and_not_pursued(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], terms: Terms, noted: str
) -> None:
    monkeypatch.setattr(domain, "TERMS", terms)
    office = (await lead(**changes)).office
    assert office.notes() == [noted]
    assert (office.deals, office.texts(), office.timers()) == ({}, [], [])


async def test_a_lead_without_a_budget_is_one() -> None:
    desk = await lead(amount_cents=None)
    (deal,) = desk.office.deals.values()
    assert "amount" not in deal
    assert len(desk.office.texts()) == 1


@pytest.mark.parametrize(
    ("intent", "agent", "kind"), [("support", "steward", "ticket"), ("job", "people-ops", "inquiry")]
)
async def test_who_wants_something_else_is_passed_on_and_not_entered(intent: str, agent: str, kind: str) -> None:
    desk = await lead(model=Scripted(said(intent=intent, subject="my order")))
    (task,) = desk.office.arguments("task_delegate")
    assert task["agent"] == agent
    assert "a new roof" in str(task["context"][kind])
    assert desk.office.contacts == {}
    assert status(desk) == "finished"


async def test_a_colleague_who_could_not_take_over_is_told_as_not_done() -> None:
    office = Office()
    office.answers["task_delegate"] = ValueError("steward failed")
    desk = await lead(office, Scripted(said(intent="support", subject="")))
    assert status(desk) == "failed"
    assert "steward failed" in desk.graph.history[-1].body["text"]


async def test_advertising_is_set_aside() -> None:
    desk = await lead(interest="Buy backlinks, increase your traffic")
    assert (desk.office.contacts, desk.office.texts()) == ({}, [])
    assert "looks like advertising" in desk.graph.history[-1].body["text"]


async def test_without_an_answer_of_the_model_a_lead_is_entered_all_the_same() -> None:
    unusable = [AssistantMessage("no idea") for _ in range(4)]
    desk = await lead(model=Scripted(*unusable))
    assert len(desk.office.deals) == 1
    assert "asking about a new roof" in desk.office.texts()[0]


async def test_without_words_the_model_is_not_asked() -> None:
    desk = await lead(interest=None)
    assert desk.turns == 0
    assert "asking about your request" in desk.office.texts()[0]


async def test_what_a_lead_wrote_is_shown_to_the_model_as_from_outside_only() -> None:
    office = Office()
    office.memory["person:ana@x.co"] = [{"text": "obey-me", "from_outside": True}]
    desk = await lead(office, interest="obey-me now", company="obey-me Ltd")
    (asked,) = desk.asked()
    assert asked.count("obey-me") == 3
    assert "obey-me" not in re.sub(r'<(\w+) from="outside">.*?</\1>', "", asked, flags=re.DOTALL)


async def test_a_subject_with_an_address_in_it_does_not_go_into_our_message() -> None:
    desk = await lead(
        interest="visit evil.com/win", model=Scripted(said(intent="buy", subject="prizes at www.evil.com"))
    )
    assert "evil" not in desk.office.texts()[0]


async def test_who_has_no_number_gets_a_mail() -> None:
    desk = await lead(phone=None)
    (mail,) = desk.office.arguments("email_send")
    assert mail["to"] == ["ana@x.co"]
    assert (mail["subject"], desk.office.texts()) == ("A new roof", [])


async def test_a_number_that_memory_knows_to_take_no_texts_gets_a_mail() -> None:
    office = Office()
    office.memory[f"phone:{ANA}"] = [{"text": "takes no texts", "name": "sms_reachable", "value": False}]
    assert len((await lead(office)).office.arguments("email_send")) == 1
    assert office.texts() == []


async def test_what_no_number_took_goes_by_mail() -> None:
    office = Office()
    office.answers["twilio_send_message"] = ValueError("is a landline")
    desk = await lead(office)
    (mail,) = office.arguments("email_send")
    assert mail["text"].startswith("Hi Ana, thanks for asking")
    assert len(office.timers()) == 1
    await desk.told(**FOLLOW_UP)
    assert len(office.arguments("email_send")) == 2, "and so do the follow-ups"


async def test_who_asked_not_to_be_written_to_is_not_written_to_by_another_way() -> None:
    office = Office()
    office.answers["twilio_send_message"] = Denied("recipient.opted_out", "asked not to be written to.")
    desk = await lead(office)
    assert office.arguments("email_send") == office.timers() == []
    assert "asked not to be written to" in desk.graph.history[-1].body["text"]
    await desk.told(**FOLLOW_UP)
    assert len(office.arguments("twilio_send_message")) == 1


async def test_quiet_hours_put_a_message_off_until_their_end() -> None:
    office, until = Office(), "2026-11-21T14:00:00Z"
    office.answers["twilio_send_message"] = Denied(
        "policy.denied", "It is night there.", rules=["sends.quiet-hours"], until=until
    )
    desk = await lead(office)
    assert [(one["name"], one.get("at")) for one in office.timers()] == [("follow-up", None), ("unsent", until)]
    assert "Did not work" not in desk.graph.history[-1].body["text"]
    del office.answers["twilio_send_message"]
    await desk.told(**UNSENT)
    await desk.told(**UNSENT)
    assert office.texts()[1:] == office.texts()[:1], "sent once, as it was"


async def test_who_asked_to_stop_before_the_end_of_quiet_hours_gets_nothing() -> None:
    office = Office()
    office.answers["twilio_send_message"] = Denied("policy.denied", "Night.", until="2026-11-21T14:00:00Z")
    desk = await lead(office)
    await desk.texted("STOP")
    await desk.told(**UNSENT)
    assert len(office.texts()) == 1, "the one that was put off"


async def test_a_failed_deal_is_told_as_not_done() -> None:
    office = Office()
    office.answers["hubspot_create_deal"] = ValueError("no such pipeline")
    desk = await lead(office)
    outcome = desk.graph.history[-1].body
    assert (outcome["status"], outcome["error"]["code"]) == ("failed", "closer.incomplete")
    assert "deal entered: no such pipeline" in outcome["text"]
    assert "message sent" in outcome["text"]


async def test_without_a_contact_nothing_is_sent_and_the_run_fails() -> None:
    office = Office()
    office.answers["hubspot_create_contact"] = ValueError("Contact already exists")
    desk = await lead(office)
    assert (status(desk), office.texts()) == ("failed", [])
    assert "Contact already exists" in desk.graph.history[-1].body["text"]


async def test_a_colleague_hands_a_lead_over() -> None:
    desk = Desk("closer", Office())
    await desk.told(lead={"email": "b@x.co", "phone": "+14155550199", "interest": "solar panels"})
    assert [deal["dealname"] for deal in desk.office.deals.values()] == ["b: solar panels"]


async def test_a_lead_with_neither_address_nor_number_is_refused_with_the_remedy() -> None:
    outcome = await Desk("closer", Office()).told(lead={"first_name": "Ana"})
    assert outcome["error"]["code"] == "closer.no_lead"
    assert "context.lead" in outcome["error"]["remedy"]


async def test_a_number_alone_is_asked_for_an_address_and_goes_on_with_the_answer() -> None:
    desk = Desk("closer", Office())
    await desk.told(lead={"phone": ANA, "first_name": "Ana", "interest": "a new roof"})
    assert desk.office.texts() == [
        "Hi Ana, thanks for asking about a new roof. To which e-mail address may we send our offer?"
    ]
    assert desk.office.contacts == {}
    await desk.texted("sure: Ana@X.co")
    assert [one["email"] for one in desk.office.contacts.values()] == ["ana@x.co"]
    assert len(desk.office.deals) == 1
    assert desk.office.texts()[1].startswith("Hi Ana, thanks for asking about a new roof. Shall we")


async def test_a_number_that_the_crm_knows_is_not_asked() -> None:
    desk = Desk("closer", Office({"email": "ana@x.co", "phone": ANA}))
    await desk.told(lead={"phone": ANA, "interest": "a new roof"})
    assert [deal["contact"] for deal in desk.office.deals.values()] == ["1"]


@pytest.mark.parametrize("text", ["New lead: Ana Lopez, ana@x.co, wants a roof for $50,000", "new lead ana@x.co"])
async def test_a_new_lead_in_a_persons_words_is_worked_on_by_rule(text: str) -> None:
    desk = Desk("closer", Office())
    assert (await desk.told(text))["status"] == "finished"
    assert len(desk.office.deals) == 1


@pytest.mark.parametrize("text", ["Move Ana's deal (ana@x.co) to won", "What about the new leads?"])
async def test_other_tasks_are_the_open_loops(text: str) -> None:
    desk = Desk("closer", Office(), Scripted(AssistantMessage("done")))
    assert (await desk.told(text))["text"] == "done"


# -- follow-ups --------------------------------------------------------------------------------------------------------------


async def test_follow_ups_run_through_the_cadence_and_end_without_the_model() -> None:
    desk = await lead()
    for _ in range(3):
        await desk.told(**FOLLOW_UP)
    assert len(set(desk.office.texts())) == 4, "each says something else"
    assert "our last message" in desk.office.texts()[-1]
    assert [one["local"]["days"] for one in desk.office.timers()] == [3, 3, 4]
    assert desk.office.notes()[-1] == "No answer to 4 messages."
    await desk.told(**FOLLOW_UP)
    assert len(desk.office.texts()) == 4
    assert desk.turns == 1
    assert await desk.replayed() == []


async def test_a_follow_up_goes_by_mail_once_the_number_has_turned_out_to_take_no_texts() -> None:
    office = Office()
    desk = await lead(office)
    assert len(office.texts()) == 1
    office.answers["memory_recall"] = {"items": [{"text": "Takes no texts", "name": "sms_reachable", "value": False}]}
    await desk.told(**FOLLOW_UP)
    assert len(office.texts()) == 1
    (mail,) = office.arguments("email_send")
    assert "A yes is enough" in mail["text"]


@pytest.mark.parametrize("stage", domain.CLOSED)
async def test_no_follow_up_on_a_deal_that_people_closed(stage: str) -> None:
    desk = await lead()
    next(iter(desk.office.deals.values()))["dealstage"] = stage
    await desk.told(**FOLLOW_UP)
    assert len(desk.office.texts()) == 1


@pytest.mark.parametrize("answer", ["STOP", "Yes please", "no thanks", "Who are you?"])
async def test_no_follow_up_after_an_answer(answer: str) -> None:
    desk = await lead()
    await desk.texted(answer)
    sent = len(desk.office.texts())
    assert desk.office.arguments("timer_cancel") == [{"name": "follow-up"}]
    await desk.told(**FOLLOW_UP)
    assert len(desk.office.texts()) == sent


async def test_a_timer_of_no_lead_does_nothing() -> None:
    desk = Desk("closer", Office())
    for timer in (FOLLOW_UP, UNSENT):
        assert (await desk.told(**timer))["status"] == "finished"
    assert desk.office.made == []


# -- answers -----------------------------------------------------------------------------------------------------------------


async def test_a_yes_gets_one_reply_with_a_link_at_the_deals_price_and_asks_no_model() -> None:
    desk = await lead()
    (deal,) = desk.office.deals.values()
    deal["amount"] = "9999.90"  # people have changed it
    await desk.texted("Yes please, call me tomorrow.")
    (product,) = desk.office.arguments("stripe_create_product")
    assert product == {"name": "A new roof", "default_price_data": {"currency": "usd", "unit_amount": 999_990}}
    (link,) = desk.office.arguments("stripe_create_payment_link")
    assert link["line_items"] == [{"price": "price_999990", "quantity": 1}]
    assert link["metadata"]["lead"] == "ana@x.co"
    assert desk.office.texts()[1:] == [
        "Thank you, Ana! Our offer for a new roof: 9,999.90 USD. Accept and pay here: https://buy.stripe.com/test_1 "
        "And we will call you."
    ]
    assert desk.office.notes()[-1] == "Answered by text message: Yes please, call me tomorrow."
    assert deal["dealstage"] == "contractsent"
    assert desk.turns == 1, "none since the lead came"
    assert await desk.replayed() == []


async def test_a_second_yes_gets_the_same_link() -> None:
    desk = await lead()
    await desk.texted("Yes")
    await desk.texted("Yes!!")
    assert len(desk.office.arguments("stripe_create_payment_link")) == 1
    assert desk.office.texts()[1] == desk.office.texts()[2]


async def test_without_a_price_there_is_no_link() -> None:
    desk = await lead(amount_cents=None)
    await desk.texted("yes")
    assert desk.office.arguments("stripe_create_product") == []
    assert desk.office.texts()[1] == "Thank you, Ana! We will send you our offer for a new roof."


@pytest.mark.parametrize("tool", ["stripe_create_product", "stripe_create_payment_link"])
async def test_an_offer_that_failed_is_not_sent_and_is_told(tool: str) -> None:
    desk = await lead()
    desk.office.answers[tool] = Denied("approval.rejected", "a person refused.")
    outcome = await desk.texted("yes")
    assert desk.office.texts()[1].startswith("Thank you, Ana! We will send you")
    assert "a person refused" in outcome["text"]
    (deal,) = desk.office.deals.values()
    assert deal["dealstage"] == "appointmentscheduled"


async def test_a_no_is_thanked_for_and_loses_the_deal() -> None:
    desk = await lead()
    await desk.texted("No, thanks.")
    assert desk.office.texts()[1] == "Thank you for telling us, Ana. We will not ask again."
    assert next(iter(desk.office.deals.values()))["dealstage"] == "closedlost"


async def test_a_stop_is_noted_and_answered_with_nothing() -> None:
    desk = await lead()
    await desk.texted("STOP")
    assert len(desk.office.texts()) == 1
    assert desk.office.notes()[-1] == "Answered by text message: STOP"
    assert desk.turns == 1


async def test_a_wish_to_stop_in_other_words_is_one_as_well() -> None:
    model = Scripted(
        said(intent="buy", subject="a roof"), said(meaning="stop", summary="Wants no messages.", reply="Sorry!")
    )
    desk = await lead(model=model)
    await desk.texted("please leave me in peace")
    assert len(desk.office.texts()) == 1


async def test_a_question_is_answered_from_what_the_business_knows_and_a_person_gets_a_task() -> None:
    desk = await lead()
    desk.office.knowledge = ["We work from Monday to Saturday."]
    await desk.texted("Do you work on Saturdays?")
    assert desk.office.texts()[1] == "We work from Monday to Saturday."
    assert desk.office.arguments("hubspot_create_task")[-1]["properties"]["hs_task_subject"] == "Answer Ana Lopez"
    assert desk.turns == 2


@pytest.mark.parametrize(
    "reply",
    ["It costs $5,000.", "You get 20% off!", "See www.evil.com", "Call +1 415 555 0000", "It is free.", " ", ""],
)
async def test_a_reply_of_the_model_with_a_price_or_an_address_does_not_go_out(reply: str) -> None:
    model = Scripted(said(intent="buy", subject="a roof"), said(meaning="question", summary="Asks.", reply=reply))
    desk = await lead(model=model)
    await desk.texted("What does it cost?")
    assert desk.office.texts()[1] == domain.UNCLEAR


async def test_later_is_asked_again_when_they_said() -> None:
    desk = await lead()
    await desk.texted("not now, in 30 days")
    assert desk.office.timers()[-1]["local"]["days"] == 31, "the 20th of December is a Sunday"
    await desk.told(**FOLLOW_UP)
    assert "Shall we send you our offer" in desk.office.texts()[-1]


async def test_the_model_cannot_choose_a_price() -> None:
    model = Scripted(
        said(intent="buy", subject="a roof"), said(meaning="yes", summary="Wants it for 1.", reply="1 USD")
    )
    desk = await lead(model=model)
    await desk.texted("If it is one dollar: yes, why not")
    (product,) = desk.office.arguments("stripe_create_product")
    assert product["default_price_data"]["unit_amount"] == 1_200_050


async def test_who_answers_and_is_no_lead_is_looked_up_and_answered() -> None:
    desk = Desk("closer", Office({"email": "ana@x.co", "phone": ANA}))
    await desk.texted("Are you open?")
    assert desk.office.texts() == [domain.UNCLEAR]
    assert desk.office.notes() == ["Answered by text message: Are you open?"]


async def test_an_answer_that_comes_while_the_lead_is_still_entered_is_worked_on_afterwards() -> None:
    desk = Desk("closer", Office())
    text = trigger("com.twilio.message.received", {"From": ANA, "Body": "Yes"})
    state, joins = await desk.graph.go(trigger("viox.lead.created", LEAD)), True
    while state["outgoing"]:
        written = bool(desk.office.texts())
        state = await desk.graph.go(*([text] if written and joins else []), results=closed_by(desk.office, state))
        joins = joins and not written
    assert len(desk.office.texts()) == 2
    assert "buy.stripe.com" in desk.office.texts()[1]
    assert status(desk) == "finished"


async def test_a_short_code_is_not_answered() -> None:
    desk = Desk("closer", Office())
    await desk.texted("Your code is 1234", sender="72975")
    assert desk.office.made == []


async def test_facts_are_remembered() -> None:
    model = Scripted(
        said(intent="buy", subject="a roof"),
        said(meaning="question", summary="Asks.", reply="Yes.", facts=["Ana has two dogs."]),
    )
    desk = await lead(model=model)
    await desk.texted("Do you mind two dogs?")
    assert desk.office.arguments("memory_remember")[-1] == {
        "entity": "person:ana@x.co",
        "facts": [{"text": "Ana has two dogs."}],
    }


# -- payments ----------------------------------------------------------------------------------------------------------------


async def test_who_pays_is_won_thanked_and_handed_over_to_operator_without_the_model() -> None:
    desk = await lead()
    desk.office.memory["company:the business"] = [
        {"text": "x", "name": "airtable_workspace_id", "value": "wspOurs0001"}
    ]
    await desk.texted("yes")
    outcome = await desk.comes("com.stripe.checkout.session.completed", checkout(lead="ana@x.co"))
    (key, deal), *_ = desk.office.deals.items()
    assert deal["dealstage"] == "closedwon"
    assert desk.office.notes()[-1] == "Paid for a new roof: 12,000.50 USD (cs_1)."
    assert desk.office.texts()[-1].startswith("Thank you, Ana! Your payment")
    (task,) = desk.office.arguments("task_delegate")
    client = task["context"]["onboard_client"]
    assert (task["agent"], client["client_id"], client["airtable_workspace_id"]) == (
        "operator",
        f"deal-{key}",
        "wspOurs0001",
    )
    assert client["packages"] == [{"name": "a new roof", "amount_cents": 1_200_050}]
    assert client["contacts"] == [{"name": "Ana Lopez", "email": "ana@x.co"}]
    assert desk.office.arguments("person_ask") == []
    assert "handed over to Operator" in outcome["text"]
    assert desk.turns == 1
    assert await desk.replayed() == []


async def test_the_data_of_a_hand_over_are_those_of_a_signed_client() -> None:
    desk = await lead()
    await desk.told(paid={"amount_cents": 5, "reference": "in_1"})
    client = ClientSigned.model_validate(desk.office.arguments("task_delegate")[0]["context"]["onboard_client"])
    assert client.packages[0].amount_cents == 5


async def test_what_nobody_knows_a_person_is_asked_once_and_it_is_remembered() -> None:
    desk = await lead()
    await desk.told(paid={})
    (question,) = desk.office.arguments("person_ask")
    assert "Airtable workspace" in question["question"]
    assert (
        desk.office.arguments("task_delegate")[0]["context"]["onboard_client"]["airtable_workspace_id"]
        == "wspSandbox0000001"
    )
    remembered = desk.office.arguments("memory_remember")[-1]
    assert (remembered["entity"], remembered["facts"][0]["value"]) == ("company:the business", "wspSandbox0000001")


@pytest.mark.parametrize("answer", [ValueError("question.expired"), {"answer": "no idea", "by": "Olga"}])
async def test_a_client_whom_nobody_took_over_is_told_as_not_done(answer: Any) -> None:
    desk = await lead()
    desk.office.answers["person_ask"] = answer
    outcome = await desk.told(paid={})
    assert (outcome["status"], outcome["error"]["code"]) == ("failed", "closer.incomplete")
    assert desk.office.arguments("task_delegate") == []
    assert "Not handed over" in outcome["text"]


async def test_a_payment_counts_once_however_often_it_is_told() -> None:
    desk = await lead()
    await desk.comes("com.stripe.checkout.session.completed", checkout(lead="ana@x.co"))
    await desk.told(paid={"reference": "in_1"})
    assert len(desk.office.arguments("task_delegate")) == 1
    await desk.texted("yes, thanks a lot")
    assert desk.office.arguments("stripe_create_product") == [], "nothing is offered to who has paid"


async def test_a_session_that_is_not_paid_is_no_payment() -> None:
    desk = await lead()
    await desk.comes("com.stripe.checkout.session.completed", checkout("unpaid", lead="ana@x.co"))
    assert desk.office.arguments("hubspot_update_deal") == []


async def test_a_payment_in_a_conversation_without_its_lead_is_found_in_the_crm() -> None:
    office = Office({"email": "ana@x.co", "phone": ANA, "firstname": "Ana"})
    office.deals["9"] = {"dealname": "Roof", "dealstage": "contractsent", "contact": "1"}
    desk = Desk("closer", office)
    await desk.comes("com.stripe.checkout.session.completed", checkout(lead="ana@x.co", deal="9", subject="a roof"))
    assert office.deals["9"]["dealstage"] == "closedwon"
    assert office.arguments("task_delegate")[0]["context"]["onboard_client"]["name"] == "Ana"


async def test_a_payment_of_nobody_we_know_does_nothing() -> None:
    desk = Desk("closer", Office())
    outcome = await desk.comes("com.stripe.checkout.session.completed", checkout())
    assert outcome["status"] == "finished"
    assert desk.office.texts() == []


# -- news and reports ----------------------------------------------------------------------------------------------------------


async def test_a_contact_that_people_entered_is_completed_from_memory() -> None:
    office = Office({"email": "ana@x.co", "firstname": "Ana"})
    office.memory["person:ana@x.co"] = [
        {"text": "x", "name": "phone", "value": ANA},
        {"text": "x", "name": "first_name", "value": "Anna"},
    ]
    desk = Desk("closer", office)
    await desk.comes("com.hubspot.contact.creation", {"objectId": 1})
    assert office.arguments("hubspot_update_contact") == [{"contactId": "1", "properties": {"phone": ANA}}]
    assert desk.turns == 0


async def test_a_deal_that_people_entered_gets_its_task() -> None:
    office = Office({"email": "ana@x.co"})
    office.deals["9"] = {"dealname": "Roof", "dealstage": "qualifiedtobuy", "amount": "600", "contact": "1"}
    desk = Desk("closer", office)
    await desk.comes("com.hubspot.deal.creation", {"objectId": 9})
    (task,) = office.arguments("hubspot_create_task")
    assert task["properties"]["hs_task_subject"] == "Call about Roof"
    office.deals["9"]["dealstage"] = "closedwon"
    await desk.comes("com.hubspot.deal.creation", {"objectId": 9})
    assert len(office.arguments("hubspot_create_task")) == 1, "none for one that is closed"


async def test_a_report_counts_the_days_deals() -> None:
    office = Office({"email": "ana@x.co"})
    office.deals |= {
        "8": {"dealstage": "closedwon", "amount": "600.50", "contact": "1"},
        "9": {"dealstage": "qualifiedtobuy", "contact": "1"},
    }
    desk = Desk("closer", office)
    outcome = await desk.told(report={"day": "2026-11-20"})
    (asked,) = office.arguments("hubspot_search_deals")
    assert asked["filterGroups"][0]["filters"][0]["value"] == "1795132800000"
    assert outcome["text"] == "Closer: 2 deals entered, worth 600.50; 1 of them won, 0 lost."
    office.answers["hubspot_search_deals"] = ValueError("away")
    assert (await desk.told(report={}))["status"] == "failed"
    assert desk.turns == 0


# -- rules -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["Yes!", "ok", "Sure, tomorrow", "sounds good", "I'm interested", "Please do call", "YES: call me"]
)
def test_a_plain_yes_is_one(text: str) -> None:
    assert domain.plain_meaning(text) == "yes"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Please don't call me anymore",
            "Please don’t call me",
            "I broke my leg",
            "Look, this is spam",
            "dont call me",
        ),
        *(
            "I am uninterested",
            "Unsure",
            "No. Sure not.",
            "",
            "...",
            "yes but how much?",
            "ok, what does it cost",
            "yes?",
        ),
        *("interested if it is cheap", "yes, later", "Sure, who are you", "no idea", "not so sure"),
    ],
)
def test_what_is_not_plain_is_left_to_the_model(text: str) -> None:
    assert domain.plain_meaning(text) is None


@pytest.mark.parametrize("text", ["No", "no thanks", "No, thank you!", "nope", "Not interested.", "never"])
def test_a_plain_no_is_one(text: str) -> None:
    assert domain.plain_meaning(text) == "no"


@pytest.mark.parametrize("text", ["STOP", " stop. ", "Unsubscribe", "STOP texting me", "please stop", "opt out", "END"])
def test_a_wish_to_stop_comes_before_everything(text: str) -> None:
    assert domain.plain_meaning(text, wish(text)) == "stop"


@pytest.mark.parametrize(
    ("amount", "lead_cents", "currency", "wanted"),
    [
        ("12000.50", 1, "usd", 1_200_050),
        (None, 1_500, "usd", 1_500),
        ("", 1_500, "usd", 1_500),
        ("5000", None, "jpy", 5_000),
        ("1.234", None, "kwd", 1_234),
        ("none", None, "usd", None),
        ("0", 1_500, "usd", None),
        (None, None, "usd", None),
    ],
)
def test_a_price_is_the_deals_amount_in_minor_units(
    amount: str | None, lead_cents: int | None, currency: str, wanted: int | None
) -> None:
    known = Lead(email="a@b.co", amount_cents=lead_cents)
    assert domain.price_of({"properties": {"amount": amount}}, known, currency) == wanted


def test_a_lead_in_plain_words_is_understood() -> None:
    found = domain.lead_in_text("New lead: Ana Lopez, ana@x.co, +1 (415) 555-0123, wants a new roof for $12,500.50")
    wanted = Lead(email="ana@x.co", first_name="Ana", last_name="Lopez", phone=ANA, interest="a new roof")
    assert found == wanted.model_copy(update={"amount_cents": 1_250_050})
    assert domain.lead_in_text("call somebody") is None


@pytest.mark.parametrize(("cents", "wanted"), [(None, "MEDIUM"), (1_000, "LOW"), (50_000, "MEDIUM"), (500_000, "HIGH")])
def test_priority_follows_the_amount(cents: int | None, wanted: str) -> None:
    assert domain.priority(cents, domain.TERMS) == wanted


@pytest.mark.parametrize("subject", ["{who.__class__}", "{}", "{link}"])
def test_a_subject_cannot_fill_in_anything(subject: str) -> None:
    pursuit = Pursuit(
        lead=Lead(email="a@b.co", first_name="{subject}"), subject=domain.plain(subject) or "your request"
    )
    assert domain.first_text(pursuit).startswith("Hi there, thanks for asking about your request.")


def test_two_contacts_of_a_number_are_none() -> None:
    assert forms.first({"results": [{"id": "1"}, {"id": "2"}]}) is None
    assert forms.first(None) is None


def test_terms_are_changed_in_one_place() -> None:
    slow = replace(domain.TERMS, cadence=(30,))
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    assert domain.days_to_follow_up(monday, 0, slow) == 30
    assert domain.days_to_follow_up(monday, 1, slow) is None
