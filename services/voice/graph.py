"""What Voice does, in the order of the work.

Whoever calls, texts or mails is looked up first. A message goes to the colleague whose subject it is. A missed call gets a text
message at once and a call back when the business is open; who is not reached is tried again, and not for ever. What was said on the
phone is summed up, remembered, noted in the CRM and handed on. Messages that did not arrive are noticed. A model is asked what a
text is about where its words do not say it, and what a conversation came to.
"""

from __future__ import annotations

from langgraph.graph import END

from services.voice import domain
from services.voice.domain import MISSED, Colleague, Line
from services.voice.prompts import ROUTE, TALK
from services.voice.work import reading, writing
from shared import persons
from shared.runtime.flow import Flow
from shared.runtime.work import Work


def what_came(work: Work) -> str:
    data, context = work.trigger.data, work.trigger.context
    if (said := work.trigger.heard) and said.channel == "mail":
        return "tell" if said.lost else "look_up"
    match work.trigger.type:
        case "com.twilio.message.status":
            return "look_up" if data["MessageStatus"] in domain.LOST and reading.number(work) else "tell"
        case "com.twilio.message.received" | "com.elevenlabs.post_call_transcription":
            return "look_up" if reading.number(work) else "read_talk" if reading.spoken(work) else "tell"
        case "com.twilio.call.completed" if domain.is_inbound(data):
            return "look_up" if reading.number(work) else "tell"
        case "com.twilio.call.completed" | "com.elevenlabs.call_initiation_failure":
            return "note_call"
    if "timer" in context:
        return "call_back" if work.kept("line", Line) else "tell"
    if "call" in context:
        return "look_up" if reading.wanted(work) else "refuse"
    return "count_day" if "report" in context else "improvise"


# -- who is it? --------------------------------------------------------------------------------------------------------------


def look_up(work: Work) -> None:
    """The CRM, what we remember, and for a call whether the number is one. Who texts us takes texts."""
    if sender := reading.mail_sender(work):
        work.call("contacts", "hubspot_search_contacts", domain.contacts_with("email", sender))
        work.call("memory", "memory_recall", {"entity": f"person:{sender}"})
        return
    number = reading.number(work)
    if work.trigger.type == "com.twilio.message.received" and (line := work.kept("line", Line)) and line.lost:
        writing.remember(work, "Takes text messages", "sms_reachable", value=True)
        work.keep("line", line.now(lost=False))
    work.call("contacts", "hubspot_search_contacts", domain.contacts_with("phone", str(number)))
    work.call("memory", "memory_recall", {"entity": f"phone:{number}"})
    if work.trigger.type == "com.twilio.call.completed":
        work.call("number", "twilio_lookup_number", {"PhoneNumber": number})


def check_contact(work: Work) -> None:
    """Has the CRM a mail address of theirs, and are the two one person? Then it is remembered as that."""
    persons.check_contact(work, reading.contact(work), "memory")


def recall_again(work: Work) -> None:
    persons.recall_again(work, "memory")


def by_what(work: Work) -> str:
    if work.trigger.heard:
        return "read_message"
    match work.trigger.type:
        case "com.twilio.message.status":
            return "note_loss"
        case "com.elevenlabs.post_call_transcription":
            return "read_talk"
        case "com.twilio.call.completed":
            return "answer_missed" if work.trigger.data.get("CallStatus") in MISSED else "note_visit"
    return "call_back"


# -- a message -----------------------------------------------------------------------------------------------------------------


def read_message(work: Work) -> None:
    """Whose is it? Plain words say so; where they do not, a model reads."""
    said = reading.said(work)
    if domain.plain_colleague(said) is None:
        outside = {"message": said.words[:6000], "known": reading.known(work)}
        work.ask(ROUTE, channel=said.channel, outside=outside, business=work.business)


def by_colleague(work: Work) -> str:
    return "tell" if reading.colleague(work) == "nobody" else "hand_on"


def hand_on(work: Work) -> None:
    """To the colleague, with the facts, in the conversation of this number; and waiting for what comes of it."""
    who: Colleague = reading.colleague(work)
    mail = reading.mail(work)
    how = "called" if reading.spoken(work) else "wrote a mail to" if mail else "texted"
    told = f"Somebody {how} us and it is yours; the facts are in context."
    words, place = reading.told(work), reading.place(work)
    context = domain.handed(who, words, reading.subject(work), reading.caller(work), place, mail)
    task = {"agent": who, "instruction": told, "context": context, "conversation": reading.place(work)}
    work.call(f"handed on to {domain.NAMES[who]}", "task_delegate", task)


# -- a call --------------------------------------------------------------------------------------------------------------------


def answer_missed(work: Work) -> None:
    """A text message at once; the call back now, or when the business opens. Who calls twice is called back once."""
    line, when = reading.line(work), reading.opens(work)
    if domain.is_calling(line, work.now, domain.TERMS) or not reading.is_valid(work):
        return
    line = line.now(reason="a missed call", tries=0)
    is_now = when == reading.local(work)
    if domain.may_text(line, work.now, domain.TERMS):
        words = None if is_now else domain.in_words(when, reading.local(work))
        writing.text(work, domain.sorry(work.business.name, words))
        line = line.now(texted_at=work.now)
    if is_now:
        line = writing.dial(work, line)
    else:
        writing.set_call(work, when)
    work.keep("line", line)


def note_visit(work: Work) -> None:
    """Somebody called and was answered: no call back is owed any more."""
    writing.remember(work, "Called us, and was answered", "last_call", work.now.date().isoformat())
    writing.cancel_call(work)
    work.keep("line", reading.line(work).now(tries=0, reason=""))


def call_back(work: Work) -> None:
    """A timer has come, or a colleague asks for a call. Out of hours it is put off until the business opens."""
    line, when = reading.line(work), reading.opens(work)
    if wanted := reading.wanted(work):
        line = line.now(reason=wanted.reason, tries=0)
    elif not line.reason or domain.is_calling(line, work.now, domain.TERMS):
        return
    if when == reading.local(work):
        line = writing.dial(work, line)
    else:
        writing.set_call(work, when)
    work.keep("line", line)


def by_call(work: Work) -> str:
    return "settle_call" if (made := work.result(writing.CALLED)) and not made.ok else "tell"


def settle_call(work: Work) -> None:
    """A call that could not be made: quiet hours are waited for; what the vendor refused is tried once more, and then told."""
    made, line = work.result(writing.CALLED), reading.line(work)
    until = made.until if made else None
    if until:
        writing.set_call_at(work, until)
    elif made and made.state == "failed" and line.tries < domain.TERMS.tries:
        writing.set_call(work, reading.opens(work, domain.TERMS.again))
    work.keep("line", line.now(called_at=None, tries=line.tries - 1 if until else line.tries))


def note_call(work: Work) -> None:
    """News of a call of ours: who was reached is not called again; who was not is tried again, and told after the last try."""
    line, missed = reading.line(work), reading.was_missed(work)
    if not missed:
        work.keep("line", line.now(tries=0, reason=""))
    elif line.reason and line.tries < domain.TERMS.tries:
        writing.set_call(work, reading.opens(work, domain.TERMS.again))
    elif line.reason:
        writing.text(work, domain.not_reached(work.business.name))
        work.keep("line", line.now(reason="", tries=0))


# -- what was said -------------------------------------------------------------------------------------------------------------


def read_talk(work: Work) -> None:
    """What did they want, what was agreed, what is worth keeping? Nothing is asked of a call on which nobody spoke."""
    lines = domain.transcript(work.trigger.data)
    if domain.words_of_caller(lines):
        outside = {"transcript": lines, "known": reading.known(work)}
        summary = {"summary_of_the_vendor": domain.vendors_summary(work.trigger.data)}
        work.ask(TALK, outside=outside | summary, business=work.business)


def by_talk(work: Work) -> str:
    return "put_down" if domain.words_of_caller(domain.transcript(work.trigger.data)) else "tell"


def put_down(work: Work) -> None:
    """For everybody who meets them again: memory, the CRM; and another call where they asked for one."""
    said, number = work.answer(TALK), reading.number(work)
    facts = [{"text": fact} for fact in (said.facts if said else [])]
    email = reading.caller(work).get("email")
    if email:
        facts.append({"text": f"The number of {email}", "name": "email", "value": email})
    facts.append({"text": f"Said on the phone: {domain.plain(reading.told(work), 450)}"})
    entity = f"phone:{number}" if number else f"person:{email}" if email else None
    if entity:
        work.call("remembered", "memory_remember", {"entity": entity, "facts": facts})
    if persons.may_claim(work, email, number, "memory"):
        persons.claim_same(work, str(email), str(number), "said on the phone")
    writing.note(work, f"Phone call: {reading.told(work)}")
    line = reading.line(work).now(tries=0, reason="")
    if said and said.call_back and number:
        writing.set_call(work, reading.opens(work, domain.TERMS.again))
        line = line.now(reason=said.subject or "they asked to be called again")
    work.keep("line", line)


# -- deliveries ------------------------------------------------------------------------------------------------------------------


def note_loss(work: Work) -> None:
    """A message did not arrive. A number that takes none is remembered as such, for everybody who writes."""
    code = str(work.trigger.data.get("ErrorCode") or "")
    if code in domain.TAKES_NO_TEXTS:
        writing.remember(work, f"Takes no text messages (Twilio {code})", "sms_reachable", value=False)
        work.keep("line", reading.line(work).now(lost=True))
    writing.note(work, f"A text message did not arrive{f' (Twilio {code})' if code else ''}.")


# -- reports, and the end ----------------------------------------------------------------------------------------------------------


def count_day(work: Work) -> None:
    start, end = (writing.stamp(one) for one in domain.day_of(work.trigger.context["report"], reading.local(work)))
    work.call("calls", "twilio_list_calls", {"StartTimeAfter": start, "StartTimeBefore": end, "PageSize": 1000})
    work.call("messages", "twilio_list_messages", {"DateSentAfter": start, "DateSentBefore": end, "PageSize": 1000})


def tell_day(work: Work) -> None:
    missing = [one.name for one in work.failures()]
    if len(missing) == 2:
        return work.fail("voice.no_report", f"Twilio listed neither calls nor messages: {work.failures()[0].why}.")
    calls, messages = ((work.value(name) or {}).get(name) or [] for name in ("calls", "messages"))
    return work.conclude(domain.day_in_words(calls, messages, missing))


def refuse(work: Work) -> None:
    work.fail("voice.no_call", "the task's context.call names no number.", "Give context.call.number in E.164.")


def tell(work: Work) -> None:
    """What happened and what was done. What no colleague took over, and a call that will not be made, is not done."""
    said = f"{reading.headline(work)}{writing.done(work)}{writing.trouble(work)}"
    if lost := writing.undone(work):
        return work.fail("voice.not_done", said, f"See `viox call {lost.call_id}`.")
    return work.conclude(said)


def graph() -> Flow:
    flow = Flow()
    flow.add_node("read_message", read_message, asks=[ROUTE])
    flow.add_node("read_talk", read_talk, asks=[TALK])
    for act in (look_up, hand_on, answer_missed, note_visit, call_back, settle_call, note_call, put_down, note_loss):
        flow.add_node(act.__name__, act)
    for act in (check_contact, persons.link_person, recall_again, count_day, tell_day, refuse, tell):
        flow.add_node(act.__name__, act)
    flow.add_open_loop("improvise")

    begins = ["look_up", "read_talk", "note_call", "call_back", "count_day", "refuse", "tell"]
    flow.begin(what_came, [*begins, "improvise"])
    whats = ["read_message", "answer_missed", "note_visit", "call_back", "read_talk", "note_loss"]
    for source, target in (
        ("look_up", "check_contact"),
        ("check_contact", "link_person"),
        ("link_person", "recall_again"),
    ):
        flow.add_edge(source, target)
    flow.add_conditional_edges("recall_again", by_what, whats)
    flow.add_conditional_edges("read_message", by_colleague, ["hand_on", "tell"])
    flow.add_conditional_edges("answer_missed", by_call, ["settle_call", "tell"])
    flow.add_conditional_edges("call_back", by_call, ["settle_call", "tell"])
    flow.add_conditional_edges("read_talk", by_talk, ["put_down", "tell"])
    flow.add_conditional_edges("put_down", by_colleague, ["hand_on", "tell"])
    for name in ("hand_on", "settle_call", "note_visit", "note_call", "note_loss"):
        flow.add_edge(name, "tell")
    flow.add_edge("count_day", "tell_day")
    for name in ("tell", "tell_day", "refuse"):
        flow.add_edge(name, END)
    return flow
