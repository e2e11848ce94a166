"""Mails of people outside, as each role meets them: routed, answered where they were sent, and never taken for somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.closer import domain as sales
from services.controller.rules import dunning
from services.voice.agent import VOICE
from shared.bus.envelope import Message
from shared.bus.events import MAIL_TYPE, check_data
from tests.unit.agents.acting import event, refused, task
from tests.unit.agents.driving import Scripted
from tests.unit.agents.front_office import Desk, Office
from tests.unit.agents.test_closer import lead
from tests.unit.agents.test_controller import FAILED, PAID
from tests.unit.agents.test_controller import stage as money
from tests.unit.agents.test_people_ops import Office as Hiring
from tests.unit.agents.test_people_ops import application, file, worked
from tests.unit.agents.test_steward import HOURS, created, informed, judged

ANA = "ana@example.com"
LOST = ["ana@example.com (5.1.1 550 no such user)"]


def mail(text: str, sender: str = ANA, **more: Any) -> dict[str, Any]:
    """The data of one that its sender is proved to have written."""
    known = {"subject": "Re: Your request", "kind": "message", "message_id": "<m1@example.com>", "verified": "dmarc"}
    found = {"sender": sender, "text": text, "owner_key": sender} | known | more
    check_data(MAIL_TYPE, found)
    return found


def came(text: str, sender: str = ANA, at: str = "2026-11-24T15:00:00+00:00", **more: Any) -> dict[str, Any]:
    return event(MAIL_TYPE, mail(text, sender, **more), at)


def message(**data: Any) -> Message:
    return Message("event-7", "/mail", MAIL_TYPE, data, datetime(2026, 11, 20, tzinfo=UTC))


# -- Voice: whose is it? -----------------------------------------------------------------------------------------------------


def test_a_proved_sender_has_one_conversation_and_what_anybody_may_have_written_is_one_by_itself() -> None:
    assert VOICE.conversation(message(**mail("x"))) == f"mail:{ANA}"
    assert VOICE.conversation(message(**mail("x", verified=""))) == "unproved-mail:event-7"


async def test_a_mail_goes_to_the_colleague_whose_subject_it_is_with_how_to_answer_it() -> None:
    desk = Desk("voice", Office({"email": ANA, "phone": "+14155550123", "firstname": "Ana"}))
    outcome = await desk.comes(MAIL_TYPE, mail("My order is broken, please help", subject="Order 7"))
    (given,) = desk.office.arguments("task_delegate")
    assert (given["agent"], given["conversation"]) == ("steward", f"mail:{ANA}")
    ticket = {"subject": "Order 7", "body": "My order is broken, please help", "customer_email": ANA}
    assert given["context"]["ticket"] == ticket | {"message_id": "<m1@example.com>"}
    assert outcome["status"] == "finished"
    assert desk.turns == 0, "its words say whose it is"
    assert desk.office.arguments("memory_recall") == [{"entity": f"person:{ANA}"}]
    assert desk.office.texts() == []


async def test_who_may_be_anybody_is_handed_on_as_that() -> None:
    desk = Desk("voice", Office())
    outcome = await desk.comes(MAIL_TYPE, mail("Please refund my order, it is broken", verified="", owner_key=""))
    (given,) = desk.office.arguments("task_delegate")
    assert given["context"]["ticket"]["unproved_sender"] is True
    assert given["conversation"].startswith("unproved-mail:")
    assert "not proved" in outcome["text"]


async def test_what_memory_says_of_an_address_does_not_change_whom_is_answered() -> None:
    office = Office()
    office.memory[f"person:{ANA}"] = [{"text": "Has another address", "name": "email", "value": "eve@evil.example"}]
    desk = Desk("voice", office)
    await desk.comes(MAIL_TYPE, mail("I have a problem"))
    assert office.arguments("task_delegate")[0]["context"]["ticket"]["customer_email"] == ANA


async def test_a_mail_that_names_no_subject_is_looked_at_by_somebody() -> None:
    desk = Desk("voice", Office(), None)
    await desk.comes(MAIL_TYPE, mail("It is about the blue one again.", subject="Hello"))
    assert desk.office.arguments("task_delegate")[0]["agent"] == "steward"


async def test_a_quote_that_is_asked_for_by_mail_goes_to_closer_who_answers_by_mail() -> None:
    desk = Desk("voice", Office())
    await desk.comes(MAIL_TYPE, mail("What is your price for a new roof?", subject="Roof"))
    (given,) = desk.office.arguments("task_delegate")
    assert given["agent"] == "closer"
    assert given["context"]["lead"]["email"] == ANA
    assert "phone" not in given["context"]["lead"]


@pytest.mark.parametrize("words", ["unsubscribe", "Please stop mailing me."])
async def test_a_wish_for_no_mails_is_nobody_s_work(words: str) -> None:
    desk = Desk("voice", Office())
    await desk.comes(MAIL_TYPE, mail(words))
    assert desk.office.arguments("task_delegate") == []


# -- Steward -----------------------------------------------------------------------------------------------------------------


async def test_an_answer_by_mail_says_whether_it_helped() -> None:
    play = informed()
    await play.play(created())
    await play.play(task(at="2026-11-23T10:00:00+00:00", satisfaction={}, timer={"name": "satisfaction"}))
    outcome = await play.play(came("5"))
    assert "happy with our answer" in outcome["text"]
    assert play.called("hubspot_update_ticket")[0]["properties"]["hs_pipeline_stage"] == "4"
    assert (await play.replayed()).same


async def test_a_further_question_is_answered_where_it_was_asked() -> None:
    play = informed()
    await play.play(created())
    await play.play(came("When are you open on Saturday? opening hours please", subject="Re: Opening hours"))
    (letter,) = play.called("email_send")
    assert (letter["to"], letter["in_reply_to"]) == ([ANA], "<m1@example.com>")
    assert letter["subject"] == "Re: Opening hours", "not Re: Re:"
    assert not play.called("hubspot_create_ticket"), "it is the same ticket"


async def test_what_comes_after_a_ticket_was_closed_is_another_ticket() -> None:
    play = informed()
    await play.play(created())
    await play.play(task(at="2026-11-23T10:00:00+00:00", satisfaction={}, timer={"name": "satisfaction"}))
    await play.play(came("5"))
    await play.play(came("When are you open on Saturday? I need the opening hours", subject="Saturday"))
    (opened,) = play.called("hubspot_create_ticket")
    assert opened["properties"]["subject"] == "Saturday"


async def test_a_mail_of_ours_that_did_not_arrive_is_a_person_s() -> None:
    play = informed(person_ask={"answer": "I call her.", "by": "Dana"})
    await play.play(created())
    outcome = await play.play(came("", "mailer-daemon@mx.example", kind="undelivered", lost=LOST))
    (asked,) = play.called("person_ask")
    assert "our last mail did not arrive: ana@example.com (5.1.1 550 no such user)" in asked["question"]
    assert "Opening hours on Saturday" in asked["question"]
    assert outcome["status"] == "finished"


async def test_who_may_not_have_written_is_not_asked_whether_it_helped() -> None:
    play = informed()
    told = {"subject": "Saturday", "body": "When are you open on Saturday? opening hours", "customer_email": ANA}
    await play.play(task(ticket=told | {"unproved_sender": True}))
    assert len(play.called("email_send")) == 1
    assert play.called("timer_set") == []


async def test_a_refund_that_anybody_may_have_asked_for_says_so() -> None:
    play = informed(Scripted(judged(wish="refund")), HOURS, task_delegate={"status": "finished", "text": "Refunded."})
    ticket = {"subject": "Refund", "body": "Refund ch_1", "customer_email": ANA, "unproved_sender": True}
    await play.play(task(ticket=ticket))
    (order,) = play.called("task_delegate")
    assert "whose sender is not proved" in order["context"]["refund"]["reason"]


# -- Closer ------------------------------------------------------------------------------------------------------------------


async def test_a_yes_by_mail_gets_the_offer_by_mail() -> None:
    desk = await lead(phone=None)
    await desk.comes(MAIL_TYPE, mail("Yes please", "ana@x.co", subject="Re: A new roof"))
    first, offer = desk.office.arguments("email_send")
    assert "buy.stripe.com" in offer["text"]
    assert (offer["subject"], offer["in_reply_to"]) == ("Re: A new roof", "<m1@example.com>")
    assert "in_reply_to" not in first
    assert "Answered by mail: Yes please" in desk.office.notes()


async def test_who_answers_a_text_by_mail_is_answered_by_mail_and_the_other_way_round() -> None:
    desk = await lead()
    await desk.comes(MAIL_TYPE, mail("Yes please", "ana@x.co"))
    assert len(desk.office.texts()) == 1
    assert "buy.stripe.com" in desk.office.arguments("email_send")[0]["text"]
    await desk.texted("yes")
    assert "buy.stripe.com" in desk.office.texts()[1]


async def test_a_wish_for_no_mails_ends_the_pursuit() -> None:
    desk = await lead(phone=None)
    await desk.comes(MAIL_TYPE, mail("Unsubscribe\n\nAna", "ana@x.co"))
    assert len(desk.office.arguments("email_send")) == 1
    assert desk.office.arguments("timer_cancel")


async def test_end_of_the_month_is_no_wish_to_stop() -> None:
    desk = await lead(phone=None)
    await desk.comes(MAIL_TYPE, mail("End of the month would suit me, what does it cost?", "ana@x.co"))
    assert desk.office.arguments("timer_cancel")[0]["name"] == "follow-up"
    assert [one["text"] for one in desk.office.arguments("email_send")][1:] == [sales.UNCLEAR]


async def test_a_lead_whose_mail_does_not_arrive_is_texted_from_then_on() -> None:
    office = Office()
    office.memory["phone:+14155550123"] = [{"text": "takes no texts", "name": "sms_reachable", "value": False}]
    desk = await lead(office)
    assert len(office.arguments("email_send")) == 1
    office.memory.clear()
    await desk.comes(MAIL_TYPE, mail("", "mailer-daemon@mx.example", kind="undelivered", lost=LOST))
    await desk.told(timer={"name": "follow-up"})
    assert (len(office.texts()), len(office.arguments("email_send"))) == (1, 1)


# -- Controller --------------------------------------------------------------------------------------------------------------


async def test_a_debtor_who_promises_is_left_alone_for_a_while() -> None:
    play = money()
    await play.play(FAILED)
    outcome = await play.play(came("I will pay on Friday.", at="2026-11-21T15:00:00+00:00"))
    assert not play.called("email_send")
    assert play.called("timer_set")[0]["at"] == "2026-11-24T10:00:00+00:00", "three days from the answer"
    assert "that it will be paid" in outcome["text"]
    assert play.turns == 0
    assert (await play.replayed()).same


async def test_what_a_debtor_asks_is_answered_by_steward_while_reminders_rest() -> None:
    play = money(task_delegate={"status": "finished", "text": "Answered."})
    await play.play(FAILED)
    outcome = await play.play(came("Why is it 1,250.50? That is not what we agreed."))
    (given,) = play.called("task_delegate")
    ticket = given["context"]["ticket"]
    assert (given["agent"], ticket["customer_email"], ticket["message_id"]) == ("steward", ANA, "<m1@example.com>")
    assert "not what we agreed" in ticket["body"]
    assert play.called("timer_set")
    assert "Steward has it" in outcome["text"]


async def test_thanks_for_thanks_end_there() -> None:
    play = money()
    await play.play(FAILED)
    play.tools = dict(play.tools) | {"stripe_get_invoice": PAID}
    outcome = await play.play(came("Thank you!"))
    assert play.tools_called == ["stripe_get_invoice"]
    assert outcome["status"] == "finished"


async def test_a_reminder_that_did_not_arrive_is_a_person_s() -> None:
    play = money(person_ask={"answer": dunning.TAKE_OVER, "by": "Dana"})
    await play.play(FAILED)
    outcome = await play.play(came("", "mailer-daemon@mx.example", kind="undelivered", lost=LOST))
    assert "Our mail did not arrive: ana@example.com" in play.called("person_ask")[0]["question"]
    assert "Dana takes care of it" in outcome["text"]


async def test_an_answer_while_stripe_is_away_is_not_taken_for_a_missing_invoice() -> None:
    play = money()
    await play.play(FAILED)
    play.tools = dict(play.tools) | {"stripe_get_invoice": refused("away")}
    outcome = await play.play(came("I have just paid."))
    assert "has no invoice" not in outcome["text"]
    assert "Stripe could not be asked: " in outcome["text"]
    assert play.called("timer_set")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("I paid this morning", "paid"),
        ("We've already transferred it.", "paid"),
        ("I'll pay next week", "promises"),
        ("Thanks!", "nothing"),
        ("I paid, but the amount was wrong", None),
        ("Did you get my payment?", None),
        ("I will never pay this", None),
        ("I have not paid", None),
        ("hm", None),
    ],
)
def test_only_plain_words_are_read_by_rule(text: str, meaning: str | None) -> None:
    assert dunning.meaning_by_words(text) == meaning


# -- People Ops --------------------------------------------------------------------------------------------------------------


async def test_a_candidate_who_answers_by_mail_is_confirmed_by_mail() -> None:
    office = Hiring()
    graph = await worked(office, application(phone="+14155550177"))
    assert len(office.texts) == 1
    await worked(office, came("2", "grace@x.co", subject="Re: Interview", at="2026-11-20T16:00:00+00:00"), graph=graph)
    assert len(office.texts) == 1
    assert "we look forward to meeting you on Tuesday, 24 November" in office.mails[-1]["text"]
    assert office.mails[-1]["in_reply_to"] == "<m1@example.com>"
    assert file(graph).slot is not None


async def test_who_asks_for_work_by_mail_is_told_of_to_a_person_and_is_no_new_colleague() -> None:
    desk = Desk("voice", Office({"email": ANA, "firstname": "Ana", "lastname": "Lopez"}))
    await desk.comes(MAIL_TYPE, mail("I would like to apply for the job", subject="Work", verified=""))
    (given,) = desk.office.arguments("task_delegate")
    assert given["agent"] == "people-ops"
    office = Hiring()
    await worked(office, task(**given["context"]))
    assert "It is not proved that they wrote it." in office.told[0]
    assert "ana@example.com: " in office.told[0]
    assert office.timers == {}


async def test_who_asks_about_an_invoice_by_mail_is_answered_by_who_answers_customers() -> None:
    desk = Desk("voice", Office())
    await desk.comes(MAIL_TYPE, mail("Where is my invoice?", subject="Invoice"))
    assert desk.office.arguments("task_delegate")[0]["agent"] == "steward"
