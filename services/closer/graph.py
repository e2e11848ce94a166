"""What Closer does, in the order of the work.

A lead comes: who is it, is it one for us, into the CRM with it, a first message, follow-ups by timer until an answer. An answer
is read; a yes gets an offer with a payment link; who pays is handed over to Operator. Rules decide all of it; a model says what
a lead is about, and what an answer means where rules cannot.
"""

from __future__ import annotations

from langgraph.graph import END

from services.closer import domain
from services.closer.prompts import ANSWER, INTEREST
from services.closer.work import forms, news, payments, reading, writing
from shared import persons
from shared.runtime.flow import Flow
from shared.runtime.work import Work


def what_came(work: Work) -> str:
    if said := work.trigger.heard:
        known = reading.pursuit_of(work) is not None
        if said.lost:
            return "note_lost" if known else "leave"
        return "find_sender" if known or said.channel == "mail" or domain.number(said.sender) else "leave"
    match work.trigger.type:
        case "viox.lead.created":
            return "meet"
        case "com.stripe.checkout.session.completed":
            return by_payment(work)
        case "com.hubspot.contact.creation":
            return "read_contact"
        case "com.hubspot.deal.creation":
            return "read_deal"
    return what_is_asked(work)


def what_is_asked(work: Work) -> str:
    """A task: of a timer, of a colleague, of a person."""
    context = work.trigger.context
    if "timer" in context:
        unsent = context["timer"].get("name") == "unsent"
        return "leave" if reading.pursuit_of(work) is None else "send_unsent" if unsent else "look_again"
    if "paid" in context:
        return by_payment(work)
    if "report" in context:
        return "count_day"
    if "lead" in context:
        return "meet" if reading.lead_of(work) else "refuse"
    return "meet" if reading.lead_of(work) else "improvise"


def by_payment(work: Work) -> str:
    """Once for each lead, and only for what is paid."""
    known = reading.pursuit_of(work)
    return "find_payer" if reading.payment(work) and not (known and known.stage == "won") else "leave"


# -- a lead ----------------------------------------------------------------------------------------------------------------


def meet(work: Work) -> None:
    """Who is it? The CRM, what we remember, and whether the number is one."""
    lead = reading.a_lead(work)
    if lead.email:
        work.call("contact", "hubspot_get_contact_by_email", {"email": lead.email})
        work.call("memory", "memory_recall", {"entity": f"person:{lead.email}"})
    else:
        work.call("contacts", "hubspot_search_contacts", forms.contacts_with(str(lead.phone)))
    if lead.phone:
        work.call("number", "twilio_lookup_number", {"PhoneNumber": lead.phone})
        work.call("memory", "memory_recall", {"entity": f"phone:{lead.phone}"})
    work.call("account", "hubspot_get_account", {})


def check_contact(work: Work) -> None:
    """Has the CRM address and number of theirs, and are the two one person? Then all of us know them as that."""
    persons.check_contact(work, reading.contact_of(work), "memory")


def recall_again(work: Work) -> None:
    persons.recall_again(work, "memory")


def by_lead(work: Work) -> str:
    return "complete_contact" if work.trigger.type == "com.hubspot.contact.creation" else "look_at_deals"


def look_at_deals(work: Work) -> None:
    if contact := reading.contact_of(work):
        work.call("deals", "hubspot_search_deals", forms.deals_of(contact["id"]))


def consider(work: Work) -> None:
    """What do they want? Only a model can say, where they said it in words."""
    lead = reading.a_lead(work)
    if lead.interest:
        outside = {
            "lead": {"wrote": lead.interest, "company": lead.company, "source": lead.source},
            "known": reading.texts_known_of(work, lead.entities),
        }
        work.ask(INTEREST, outside=outside, business=work.business)


def by_fit(work: Work) -> str:
    match reading.fit_of(work):
        case "spam":
            return "set_aside"
        case "support" | "job":
            return "pass_on"
    return "enter_contact" if reading.a_lead(work).email or reading.contact_of(work) else "ask_for_address"


def ask_for_address(work: Work) -> None:
    """A number alone is no contact in the CRM: its owner is asked for a mail address."""
    pursuit = reading.new_pursuit(work).now(stage="addressless", channel="sms")
    work.keep("pursuit", pursuit)
    writing.write(work, pursuit, domain.text_of(domain.ASK_FOR_ADDRESS, pursuit))


def enter_contact(work: Work) -> None:
    found, known = reading.contact_of(work), forms.contact_properties(reading.a_lead(work))
    if found is None:
        work.call(
            "contact entered", "hubspot_create_contact", {"properties": {"email": reading.a_lead(work).email, **known}}
        )
    elif missing := {name: value for name, value in known.items() if not found["properties"].get(name)}:
        work.call("contact completed", "hubspot_update_contact", {"contactId": found["id"], "properties": missing})


def by_contact(work: Work) -> str:
    if reading.contact_of(work) is None:
        return "give_up"
    return "enter_deal" if reading.fit_of(work) == "enter" else "file_lead"


def enter_deal(work: Work) -> None:
    """Deal, note, task and the first message: independent of each other, so they go out together."""
    pursuit = reading.new_pursuit(work)
    lead, contact = pursuit.lead, str(pursuit.contact)
    work.keep("pursuit", pursuit)
    work.call("deal entered", "hubspot_create_deal", forms.deal_form(lead, pursuit.subject, contact, pursuit.currency))
    writing.note(work, contact, f"Interested in: {lead.interest or 'not said'}")
    due = domain.working_day(reading.local(work), 1, domain.TERMS.hour)
    work.call(
        "task entered", "hubspot_create_task", forms.task_form(contact, f"Call {lead.name}", due, lead.amount_cents)
    )
    writing.write(work, pursuit, domain.first_text(pursuit))


def file_lead(work: Work) -> None:
    """It has an open deal already, or is none for us: a note says that they asked, and people may do more."""
    why = {"again": "Asked again", "small": "Asked (below our least)", "far": "Asked (not where we work)"}[
        reading.fit_of(work)
    ]
    writing.note(work, reading.contact_id(work), f"{why}: {reading.a_lead(work).interest or 'not said'}")


def by_message(work: Work) -> str:
    """What no number takes goes by mail. Who asked not to be written to is not written to otherwise."""
    message, pursuit = work.result("message"), reading.a_pursuit(work)
    refused = message is not None and message.state == "failed" and pursuit.channel == "sms"
    return "write_mail" if refused and pursuit.lead.email else "plan_follow_up"


def write_mail(work: Work) -> None:
    pursuit = reading.a_pursuit(work).now(channel="mail")
    work.keep("pursuit", pursuit)
    writing.write(work, pursuit, reading.sent_text(work.result("message")))


def plan_follow_up(work: Work) -> None:
    """The next message of the cadence, unless there is no next, or none is wanted."""
    pursuit, message = reading.a_pursuit(work), work.result("message")
    pursuit = pursuit.now(deal=(work.value("deal entered") or {}).get("id") or pursuit.deal)
    days = domain.days_to_follow_up(reading.local(work), pursuit.step, domain.TERMS)
    if writing.asked_to_stop(message):
        pursuit = pursuit.now(stage="stopped")
    elif days is None:
        pursuit = pursuit.now(stage="silent")
        writing.note(work, str(pursuit.contact), f"No answer to {pursuit.step + 1} messages.")
    else:
        writing.set_follow_up(work, days)
    pursuit = writing.held(work, pursuit)
    if work.value("deal entered"):
        writing.know_again(work, pursuit)
    work.keep("pursuit", pursuit)


def set_aside(work: Work) -> None:
    work.conclude(f"{reading.a_lead(work).name}: looks like advertising, so nothing was entered.")


def pass_on(work: Work) -> None:
    """Not a sale: a colleague's."""
    lead, body = reading.a_lead(work), str(reading.a_lead(work).interest)
    if reading.fit_of(work) == "job":
        context = {"inquiry": {"name": lead.name, "email": lead.email, "phone": lead.phone, "text": body}}
        told = {"agent": "people-ops", "instruction": "Somebody looks for work; see context.", "context": context}
    else:
        ticket = {"subject": reading.subject_of(work), "body": body, "customer_email": lead.email, "phone": lead.phone}
        told = {"agent": "steward", "instruction": "Somebody needs help; see context.", "context": {"ticket": ticket}}
    work.call("passed on", "task_delegate", told)


def give_up(work: Work) -> None:
    why = "; ".join(one.why for one in work.failures() if one.tool == "hubspot_create_contact")
    work.fail(
        "closer.no_contact", f"{reading.a_lead(work).name} could not be entered: {why or 'HubSpot gave no contact'}."
    )


def refuse(work: Work) -> None:
    remedy = "Give context.lead at least an email or a phone in E.164."
    work.fail("closer.no_lead", "the task's context.lead is no lead.", remedy)


# -- follow-ups --------------------------------------------------------------------------------------------------------------


def look_again(work: Work) -> None:
    """Is it still open? People may have closed the deal meanwhile, and the number may have turned out to take no messages."""
    pursuit = reading.a_pursuit(work)
    if deal := pursuit.deal:
        work.call("deal", "hubspot_get_deal", {"dealId": deal, "properties": ["dealstage", "amount"]})
    if pursuit.channel == "sms" and pursuit.lead.phone:
        work.call("memory", "memory_recall", {"entity": f"phone:{pursuit.lead.phone}"})


def by_standing(work: Work) -> str:
    return "remind" if reading.a_pursuit(work).stage == "open" and not reading.is_closed(work) else "leave"


def remind(work: Work) -> None:
    pursuit = reading.reachable(work)
    writing.write(work, pursuit, domain.follow_up_text(pursuit))
    work.keep("pursuit", pursuit.now(step=pursuit.step + 1))


def send_unsent(work: Work) -> None:
    """Quiet hours are over. Who has asked to stop meanwhile gets nothing."""
    pursuit = reading.reachable(work)
    if pursuit.unsent and pursuit.stage != "stopped":
        writing.write(work, pursuit, pursuit.unsent)
    work.keep("pursuit", pursuit.now(unsent=None))


def hold_unsent(work: Work) -> None:
    work.keep("pursuit", writing.held(work, reading.a_pursuit(work)))


def leave(work: Work) -> None:
    pursuit = reading.pursuit_of(work)
    state = f"it is {pursuit.stage}" if pursuit else "no lead of this conversation is known"
    work.conclude(f"{pursuit.lead.name if pursuit else 'Closer'}: nothing to do, {state}.")


# -- an answer ---------------------------------------------------------------------------------------------------------------


def find_sender(work: Work) -> None:
    if reading.pursuit_of(work) is not None:
        return
    said = reading.said(work)
    if said.channel == "mail":
        work.call("contact", "hubspot_get_contact_by_email", {"email": said.sender})
    else:
        work.call("contacts", "hubspot_search_contacts", forms.contacts_with(said.sender))


def note_lost(work: Work) -> None:
    """A mail of ours did not arrive: what follows goes to the phone, where there is one."""
    pursuit = reading.a_pursuit(work)
    writing.note(work, pursuit.contact, reading.said(work).words)
    if domain.number(pursuit.lead.phone):
        work.keep("pursuit", pursuit.now(channel="sms"))


def by_words(work: Work) -> str:
    pursuit, text = reading.a_pursuit(work), reading.answer_text(work)
    if pursuit.stage == "addressless" and domain.address_in(text):
        return "meet"
    match domain.plain_meaning(text, reading.said(work).wish):
        case "stop":
            return "respect_wish"
        case "yes" if pursuit.stage != "won":
            return "price_offer"
        case "no":
            return "reply"
    return "gather"


def gather(work: Work) -> None:
    """What the business knows, and what we know of them, before a model reads."""
    work.call("knowledge", "knowledge_search", {"question": reading.answer_text(work)[:1000], "limit": 4})
    work.call("memory", "memory_recall", {"entity": reading.a_pursuit(work).about})


def understand(work: Work) -> None:
    outside = {
        "answer": reading.answer_text(work),
        "about": reading.a_pursuit(work).subject,
        "known": reading.texts_known_of(work, [reading.a_pursuit(work).recipient]),
    }
    work.ask(ANSWER, outside=outside, business=work.business, knowledge=reading.texts(work, "knowledge"))


def by_meaning(work: Work) -> str:
    match reading.meaning_of(work):
        case "stop":
            return "respect_wish"
        case "yes" if reading.a_pursuit(work).stage != "won":
            return "price_offer"
    return "reply"


def price_offer(work: Work) -> None:
    """The deal says what it costs, whatever anybody wrote."""
    if deal := reading.a_pursuit(work).deal:
        work.call("deal", "hubspot_get_deal", {"dealId": deal, "properties": ["dealstage", "amount"]})


def by_price(work: Work) -> str:
    """No price, no link; one that was made for this very price is sent again. What people have closed is not offered."""
    pursuit, price = reading.a_pursuit(work), reading.price_of(work)
    made = pursuit.link is not None and pursuit.price == price
    return "reply" if price is None or made or reading.is_closed(work) else "make_offer"


def make_offer(work: Work) -> None:
    pursuit = reading.a_pursuit(work)
    price = {"currency": pursuit.currency, "unit_amount": reading.price_of(work)}
    name = pursuit.subject[:1].upper() + pursuit.subject[1:]
    work.call("offer made", "stripe_create_product", {"name": name, "default_price_data": price})


def by_offer(work: Work) -> str:
    return "make_link" if (work.value("offer made") or {}).get("default_price") else "reply"


def make_link(work: Work) -> None:
    """The link carries whose it is, so that the payment is known for theirs."""
    pursuit = reading.a_pursuit(work)
    about = {"lead": pursuit.lead.email, "deal": pursuit.deal, "subject": pursuit.subject}
    item = {"price": work.value("offer made")["default_price"], "quantity": 1}
    metadata = {name: value for name, value in about.items() if value}
    work.call("payment link made", "stripe_create_payment_link", {"line_items": [item], "metadata": metadata})


def reply(work: Work) -> None:
    """Note the answer, reply once, end the cadence; the deal moves by rule."""
    pursuit, meaning, said = reading.offered(work), reading.meaning_of(work), work.answer(ANSWER)
    writing.note(work, pursuit.contact, reading.answered(work))
    writing.write(work, pursuit, reading.reply_text(work))
    if meaning == "later":
        writing.set_follow_up(work, domain.days_on(reading.local(work), (said and said.days) or domain.TERMS.later))
    else:
        writing.cancel_follow_up(work)
    if pursuit.deal and (stage := {"yes": "contractsent" if pursuit.link else None, "no": "closedlost"}.get(meaning)):
        work.call("deal moved", "hubspot_update_deal", {"dealId": pursuit.deal, "properties": {"dealstage": stage}})
    if meaning in ("question", "other") and pursuit.contact:
        task = forms.task_form(pursuit.contact, f"Answer {pursuit.lead.name}", work.now, None)
        work.call("task entered", "hubspot_create_task", task)
    if said and said.facts:
        facts = [{"text": fact[:500]} for fact in said.facts]
        work.call("remembered", "memory_remember", {"entity": pursuit.about, "facts": facts})
    stage_now = {"yes": "offered" if pursuit.link else "answered", "no": "lost", "later": "open"}.get(
        meaning, "answered"
    )
    work.keep("pursuit", pursuit if pursuit.stage == "won" else pursuit.now(stage=stage_now))


def respect_wish(work: Work) -> None:
    """They want no more messages: nothing is sent, now or later."""
    pursuit = reading.a_pursuit(work)
    writing.note(work, pursuit.contact, reading.answered(work))
    writing.cancel_follow_up(work)
    writing.remember(work, pursuit.lead.entity, "Wants no messages from us", "wants_messages", value=False)
    work.keep("pursuit", pursuit.now(stage="stopped", unsent=None))


# -- the end -----------------------------------------------------------------------------------------------------------------


def tell(work: Work) -> None:
    """Say what was done and what was not. A lead without a deal, or a client whom nobody took over, is not done."""
    said = f"{reading.name_of(work)}: {writing.done(work) or 'nothing was done'}.{writing.trouble(work)}"
    lost = next((one for one in work.failures() if one.name in domain.MUST), None)
    if lost is None and not (work.value("deal won") and work.result("handed over to Operator") is None):
        return work.conclude(said)
    remedy = f"See `viox call {lost.call_id}`." if lost else "Give Operator the client's data by viox.client.signed."
    return work.fail("closer.incomplete", said if lost else f"{said} Not handed over: data are missing.", remedy)


def graph() -> Flow:
    flow = Flow()
    flow.add_node("consider", consider, asks=[INTEREST])
    flow.add_node("understand", understand, asks=[ANSWER])
    for act in (meet, look_at_deals, ask_for_address, enter_contact, enter_deal, file_lead, write_mail, plan_follow_up):
        flow.add_node(act.__name__, act)
    for act in (pass_on, set_aside, give_up, refuse, look_again, remind, send_unsent, hold_unsent, leave, tell):
        flow.add_node(act.__name__, act)
    for act in (find_sender, note_lost, gather, price_offer, make_offer, make_link, reply, respect_wish):
        flow.add_node(act.__name__, act)
    for act in (payments.find_payer, payments.book_win, payments.ask_for_workspace, payments.hand_over):
        flow.add_node(act.__name__, act)
    for act in (news.read_contact, news.recall_contact, news.complete_contact, news.read_deal, news.take_up_deal):
        flow.add_node(act.__name__, act)
    for act in (check_contact, persons.link_person, recall_again, news.tell_news, news.count_day, news.tell_day):
        flow.add_node(act.__name__, act)
    flow.add_open_loop("improvise")

    begins = ["meet", "refuse", "look_again", "send_unsent", "leave", "find_sender", "note_lost", "find_payer"]
    flow.begin(what_came, [*begins, "read_contact", "read_deal", "count_day", "improvise"])
    # a lead
    flow.add_edge("meet", "check_contact")
    flow.add_edge("check_contact", "link_person")
    flow.add_edge("link_person", "recall_again")
    flow.add_conditional_edges("recall_again", by_lead, ["look_at_deals", "complete_contact"])
    flow.add_edge("look_at_deals", "consider")
    flow.add_conditional_edges("consider", by_fit, ["enter_contact", "ask_for_address", "pass_on", "set_aside"])
    flow.add_conditional_edges("enter_contact", by_contact, ["enter_deal", "file_lead", "give_up"])
    flow.add_conditional_edges("enter_deal", by_message, ["write_mail", "plan_follow_up"])
    flow.add_edge("write_mail", "plan_follow_up")
    flow.add_edge("plan_follow_up", "tell")
    # follow-ups
    flow.add_conditional_edges("look_again", by_standing, ["remind", "leave"])
    flow.add_edge("remind", "plan_follow_up")
    flow.add_edge("send_unsent", "hold_unsent")
    # an answer
    flow.add_conditional_edges("find_sender", by_words, ["meet", "respect_wish", "price_offer", "reply", "gather"])
    flow.add_edge("gather", "understand")
    flow.add_conditional_edges("understand", by_meaning, ["respect_wish", "price_offer", "reply"])
    flow.add_conditional_edges("price_offer", by_price, ["make_offer", "reply"])
    flow.add_conditional_edges("make_offer", by_offer, ["make_link", "reply"])
    flow.add_edge("make_link", "reply")
    flow.add_edge("reply", "hold_unsent")
    # a payment
    flow.add_conditional_edges("find_payer", payments.by_payer, ["book_win", "leave"])
    flow.add_conditional_edges("book_win", payments.by_data, ["hand_over", "ask_for_workspace"])
    flow.add_conditional_edges("ask_for_workspace", payments.by_answer_of_person, ["hand_over", "tell"])
    # news of the CRM, and the day's report
    flow.add_edge("read_contact", "recall_contact")
    flow.add_edge("recall_contact", "check_contact")
    flow.add_edge("complete_contact", "tell_news")
    flow.add_edge("read_deal", "take_up_deal")
    flow.add_edge("take_up_deal", "tell_news")
    flow.add_edge("count_day", "tell_day")
    for name in ("note_lost", "ask_for_address", "file_lead", "pass_on", "hold_unsent", "respect_wish", "hand_over"):
        flow.add_edge(name, "tell")
    for name in ("set_aside", "give_up", "refuse", "leave", "tell_news", "tell_day", "tell"):
        flow.add_edge(name, END)
    return flow
