"""A payment failed: reminders by the ladder of rules/dunning.py until it is paid or a person takes care of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.controller.domain import DebtOrder, Invoice
from services.controller.prompts import HEARD, PHRASING
from services.controller.rules import dunning as rules
from services.controller.rules.dunning import Dunning, Letter, Meaning
from services.controller.work import views
from shared.money import as_written
from shared.runtime.work import Result, Work

KEPT = "dunning"


def look_up_debt(work: Work) -> None:
    """What Stripe says today: the customer may have paid since."""
    work.call("invoice", "stripe_get_invoice", {"invoice": _invoice_id(work)})


def by_debt(work: Work) -> str:
    looked, said = work.result("invoice"), work.trigger.heard
    if looked is not None and not looked.ok:
        return "postpone_reminder" if said is None else "hear_customer"
    invoice = views.invoice(work)
    if invoice is None:
        return "close_debt"
    if said:
        return (
            "ask_about_debt" if said.lost and not is_settled(work) else "close_debt" if said.lost else "hear_customer"
        )
    match rules.next_of(invoice, kept(work), work.now):
        case "remind":
            return "phrase_reminder" if rules.step_of(invoice, kept(work)) > 1 else "send_reminder"
        case "ask_person":
            return "ask_about_debt"
        case "settled":
            return "stop_reminders"
        case "hold":
            return "hold_reminder"
    return "close_debt"


def hear_customer(work: Work) -> None:
    """What does the answer mean? Plain words say so; where they do not, a model reads."""
    if rules.meaning_by_words(said(work)) is None:
        work.ask(HEARD, outside={"answer": said(work)[:6000]})


def by_meaning(work: Work) -> str:
    if meaning(work) == "needs_answer":
        return "pass_to_steward"
    return "close_debt" if meaning(work) == "nothing" or is_settled(work) else "hold_reminder"


def pass_to_steward(work: Work) -> None:
    """What customers ask is answered by who answers customers; reminders rest meanwhile."""
    found, heard = views.invoice(work), work.trigger.heard
    assert heard is not None  # noqa: S101  # by_debt looked
    about = f"About invoice {found.called}" if found else "About an invoice"
    by_mail = heard.channel == "mail"
    ticket = {"subject": heard.subject or about, "body": f"{about}: {heard.text}", "message_id": heard.message_id}
    ticket["customer_email"] = heard.sender if by_mail else found.customer_email if found else None
    ticket["phone"] = None if by_mail else heard.sender
    context = {"ticket": {name: value for name, value in ticket.items() if value}}
    told = "A customer answered us about an invoice, and wants an answer; the facts are in context."
    work.call("passed on", "task_delegate", {"agent": "steward", "instruction": told, "context": context})


def by_standing(work: Work) -> str:
    return "close_debt" if is_settled(work) else "hold_reminder"


def phrase_reminder(work: Work) -> None:
    """From the second reminder on the model may phrase what the rules have to say; the first is the same for everybody."""
    invoice = _invoice(work)
    tone = rules.rung(rules.step_of(invoice, kept(work))).tone
    template = rules.template(invoice, tone, work.business.name)
    work.ask(PHRASING, tone=tone, reminders_before=kept(work).step, outside={"letter": template})


def send_reminder(work: Work) -> None:
    invoice = _invoice(work)
    for channel in rules.channels(invoice, rules.step_of(invoice, kept(work))):
        if channel == "mail":
            letter = letter_of(work)
            work.call(
                "mail", "email_send", {"to": [invoice.customer_email], "subject": letter.subject, "text": letter.text}
            )
        else:
            body = rules.text_message(invoice, work.business.name)
            work.call("sms", "twilio_send_message", {"To": invoice.customer_phone, "Body": body})


def letter_of(work: Work) -> Letter:
    """The reminder: as the model phrased it where that says what the template says, else the template."""
    invoice = _invoice(work)
    phrased = work.answer(PHRASING)
    if phrased and rules.is_faithful(phrased, invoice):
        return phrased
    return rules.template(invoice, rules.rung(rules.step_of(invoice, kept(work))).tone, work.business.name)


def by_delivery(work: Work) -> str:
    return "plan_next_step" if any(one.ok for one in _sent(work)) else "postpone_reminder"


def plan_next_step(work: Work) -> None:
    """The reminder is out: note it, and come back when the next step is due."""
    invoice, before = _invoice(work), kept(work)
    step = rules.step_of(invoice, before)
    work.keep(KEPT, Dunning(invoice=invoice.id, step=step, sent_at=work.now))
    at = rules.look_again(work.now, rules.rung(step).wait_days, views.zone(work), invoice.next_payment_attempt)
    _come_back(work, at)
    amount = as_written(invoice.owed, invoice.currency)
    if invoice.customer_email:
        fact = {
            "name": "open_invoice",
            "value": invoice.called,
            "text": f"Invoice {invoice.called} over {amount} is unpaid",
        }
        work.call("remember", "memory_remember", {"entity": f"person:{invoice.customer_email}", "facts": [fact]})
    data = {"status": invoice.status or "open", "owed": invoice.owed, "currency": invoice.currency, "reminders": step}
    work.call("record", "records_write", {"entity": f"stripe:{invoice.id}", "data": data})


def hold_reminder(work: Work) -> None:
    """The last reminder is too fresh for another one, or the customer has just answered: come back later."""
    before = kept(work)
    last = work.now if work.trigger.heard else before.sent_at or work.now
    _come_back(work, rules.look_again(last, rules.rung(before.step).wait_days, views.zone(work)))


def postpone_reminder(work: Work) -> None:
    """Stripe could not be asked, or nobody could be reached just now: try again, at the end of quiet hours or in some hours."""
    until = next((one.until for one in _sent(work) if one.until), None)
    _come_back(work, datetime.fromisoformat(until) if until else work.now + timedelta(hours=4))


def ask_about_debt(work: Work) -> None:
    """The ladder is at its end, or nobody can be reached: a person decides."""
    lost = work.trigger.heard.words if work.trigger.heard else ""
    question = rules.question(_invoice(work), kept(work), lost)
    work.call("decision", "person_ask", {"question": question, "choices": rules.CHOICES, "expires": "24h"})


def by_decision(work: Work) -> str:
    wants_reminder = (work.value("decision") or {}).get("answer") == rules.REMIND and rules.reachable(_invoice(work))
    return "phrase_reminder" if wants_reminder else "carry_out_decision"


def carry_out_decision(work: Work) -> None:
    before, decision = kept(work), work.result("decision")
    if decision is None or not decision.value:
        return _come_back(work, rules.look_again(work.now, rules.ASK_AGAIN_DAYS, views.zone(work)))
    if decision.value["answer"] != rules.TAKE_OVER:
        return _come_back(work, rules.look_again(work.now, rules.LONGER_DAYS, views.zone(work)))
    work.keep(KEPT, before.model_copy(update={"left_to": str(decision.value.get("by") or "a person")}))
    return work.call("timer", "timer_cancel", {"name": rules.TIMER})


def stop_reminders(work: Work) -> None:
    """Nothing is owed any more."""
    before = kept(work)
    if before.step and not before.over:
        work.call("timer", "timer_cancel", {"name": rules.TIMER})
        before.over = True
        work.keep(KEPT, before)


def close_debt(work: Work) -> None:
    invoice, looked = views.invoice(work), work.result("invoice")
    unasked = looked is not None and not looked.ok
    if invoice is None and not unasked:
        return work.conclude(f"Stripe has no invoice {_invoice_id(work)}.")
    amount = f" over {as_written(invoice.owed, invoice.currency)}" if invoice else ""
    parts = [f"Invoice {invoice.called if invoice else _invoice_id(work)}{amount}", *_what_was_done(work, invoice)]
    if unasked and looked:
        parts.append(f"Stripe could not be asked: {looked.why}")
    text = ": ".join([parts[0], "; ".join(parts[1:])]) + "."
    if _nothing_works(work):
        return work.fail("controller.not_reminded", text, "Write to the customer, or ask for this again later.")
    return work.conclude(text)


# -- parts -----------------------------------------------------------------------------------------------------------------


def kept(work: Work) -> Dunning:
    return work.kept(KEPT, Dunning) or Dunning()


def is_settled(work: Work) -> bool:
    """Nothing is owed. Where Stripe could not be asked it may be."""
    found, looked = views.invoice(work), work.result("invoice")
    if found is None:
        return looked is not None and looked.ok
    return rules.next_of(found, kept(work), work.now) == "settled"


def said(work: Work) -> str:
    return work.trigger.heard.words if work.trigger.heard else ""


def meaning(work: Work) -> Meaning:
    read = work.answer(HEARD)
    return rules.meaning_by_words(said(work)) or (read.meaning if read else "needs_answer")


def _invoice_id(work: Work) -> str:
    if work.trigger.heard:
        return str(kept(work).invoice)
    return views.order(work, DebtOrder).invoice if work.trigger.is_task else str(views.event_object(work)["id"])


def _invoice(work: Work) -> Invoice:
    found = views.invoice(work)
    assert found is not None  # noqa: S101  # by_debt looked
    return found


def _sent(work: Work) -> list[Result]:
    return [one for one in work.results() if one.name in ("mail", "sms")]


def _come_back(work: Work, at: datetime) -> None:
    invoice = _invoice_id(work)
    work.call(
        "timer",
        "timer_set",
        {
            "name": rules.TIMER,
            "at": views.told(at),
            "instruction": f"Look after the unpaid invoice {invoice}.",
            "context": {"dunning": {"invoice": invoice}},
        },
    )


def _nothing_works(work: Work) -> bool:
    """Whether nothing was reached: no customer, no person and no timer that would try again."""
    timer, decision = work.result("timer"), work.result("decision")
    tried = [*_sent(work), *([decision] if decision else [])]
    return bool(tried) and not any(one.ok for one in tried) and (timer is None or not timer.ok)


def _what_was_heard(work: Work) -> list[str]:
    if not (heard := work.trigger.heard):
        return []
    if heard.lost:
        return [heard.words]
    passed = work.result("passed on")
    told = {"paid": "that it is paid", "promises": "that it will be paid", "nothing": "nothing that needs an answer"}
    wrote = f"{heard.sender} wrote {told.get(meaning(work), 'something that needs an answer')}"
    if passed is None:
        return [wrote]
    return [wrote, "Steward has it" if passed.ok else f"Steward was not told: {passed.why}"]


def _what_was_done(work: Work, invoice: Invoice | None) -> list[str]:
    now, done = kept(work), _what_was_heard(work)
    sent, decision, timer = _sent(work), work.result("decision"), work.result("timer")
    if ways := [{"mail": "mail", "sms": "text message"}[one.name] for one in sent if one.ok]:
        done.append(f"reminder {now.step} ({rules.rung(now.step).tone}) went out by {' and '.join(ways)}")
    done += [f"{one.tool} did not work: {one.why}" for one in sent if not one.ok]
    if decision:
        done.append(
            f"{decision.value.get('by')} says: {decision.value['answer']}"
            if decision.value
            else "nobody decided about it"
        )
    if now.left_to:
        done.append(f"{now.left_to} takes care of it")
    if invoice and not sent and not decision and not now.left_to:
        done.append(f"at Stripe it is {invoice.status}, so nothing was sent" if invoice.status else "nothing was sent")
    if timer and timer.tool == "timer_set":
        done.append(
            f"next look {timer.arguments['at'][:16]}" if timer.ok else f"no next look could be planned: {timer.why}"
        )
    return done
