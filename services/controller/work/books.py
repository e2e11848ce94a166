"""An invoice was paid: reminders stop, QuickBooks gets it with its lines and its payment. One of the books changed: compared."""

from __future__ import annotations

from typing import Any

from services.controller import domain
from services.controller.domain import Invoice
from services.controller.rules import books as rules
from services.controller.rules import dunning, payouts
from services.controller.rules.books import Mirror
from services.controller.work import views
from services.controller.work.dunning import KEPT as DUNNING
from services.controller.work.dunning import kept as dunning_of
from shared.money import as_written
from shared.runtime.work import Work

KEPT = "mirror"


# -- paid at Stripe --------------------------------------------------------------------------------------------------------


def look_up_payment(work: Work) -> None:
    """Stop reminding at once; see what Stripe and the books have."""
    given = views.event_object(work)
    if dunning_of(work).step and not dunning_of(work).over:
        work.call("timer", "timer_cancel", {"name": dunning.TIMER})
    work.call("invoice", "stripe_get_invoice", {"invoice": given["id"], "expand": ["payments"]})
    if not work.kept(KEPT, Mirror):
        _find_in_books(work, Invoice.model_validate(given))


def _find_in_books(work: Work, invoice: Invoice) -> None:
    _find_customer(work, invoice)
    work.call("items", "quickbooks_query", {"query": "select * from Item where Type = 'Service' maxresults 100"})
    accounts = "select * from Account where AccountType = 'Accounts Receivable' maxresults 10"
    work.call("accounts", "quickbooks_query", {"query": accounts})
    if invoice.number:
        query = f"select * from Invoice where DocNumber = {rules.quoted(invoice.number)}"  # noqa: S608  # Intuit's language
        work.call("same number", "quickbooks_query", {"query": query})


def _find_customer(work: Work, invoice: Invoice) -> None:
    name = rules.quoted(rules.display_name(invoice))
    query = f"select * from Customer where DisplayName = {name}"  # noqa: S608  # Intuit's language; quotes are escaped
    work.call("customers", "quickbooks_query_customers", {"query": query})
    if invoice.customer_email:
        email = rules.quoted(invoice.customer_email)
        query = f"select * from Customer where PrimaryEmailAddr = {email}"  # noqa: S608
        work.call("customers", "quickbooks_query_customers", {"query": query})


def by_books(work: Work) -> str:
    invoice, mirror = views.invoice(work), mirror_of(work)
    if invoice is None or invoice.status not in (None, "paid") or hindrance(work):
        return "tell_of_payment"
    if mirror:
        return "tell_of_payment" if mirror.payment else "book_payment"
    return "enter_invoice" if customer_of(work) else "enter_customer"


def enter_customer(work: Work) -> None:
    invoice = _invoice(work)
    taken = rules.is_name_taken(_customers(work), invoice)
    email = {"Address": invoice.customer_email} if invoice.customer_email else None
    name = rules.name_apart(invoice) if taken else rules.display_name(invoice)
    work.call("customer", "quickbooks_create_customer", {"DisplayName": name[:500], "PrimaryEmailAddr": email})


def by_customer(work: Work) -> str:
    return "enter_invoice" if customer_of(work) else "find_customer_again"


def find_customer_again(work: Work) -> None:
    """The name was taken in the meantime, for instance by the same customer's other invoice."""
    _find_customer(work, _invoice(work))


def by_second_look(work: Work) -> str:
    return "enter_invoice" if customer_of(work) else "tell_of_payment"


def enter_invoice(work: Work) -> None:
    invoice, item = _invoice(work), rules.item_in(rules.rows(work.value("items"), "Item"))
    number_taken = bool(rules.rows(work.value("same number"), "Invoice"))
    given = rules.new_invoice(invoice, str(customer_of(work)), str(item), number_taken)
    work.call("entered", "quickbooks_create_invoice", given)


def by_entry(work: Work) -> str:
    return "book_payment" if mirror_of(work) and _invoice(work).amount_paid > 0 else "tell_of_payment"


def book_payment(work: Work) -> None:
    """What Stripe has collected is applied to the invoice. Kept first: a repeat enters no second invoice."""
    mirror = mirror_of(work)
    assert mirror is not None  # noqa: S101  # by_entry looked
    work.keep(KEPT, mirror)
    for one in _paid_by(work):
        work.call("intents", "stripe_get_payment_intent", {"payment_intent": one})
    work.call("payment", "quickbooks_create_payment", rules.new_payment(_invoice(work), mirror))


def tell_of_payment(work: Work) -> None:
    """Note it, thank who was reminded, tell Closer when a deal hangs on it."""
    invoice, mirror, reminded = views.invoice(work), mirror_of(work), dunning_of(work)
    if invoice is None or invoice.status not in (None, "paid"):
        return
    if mirror:
        work.keep(KEPT, mirror)
        _note(work, invoice, mirror)
    if reminded.step and not reminded.over:
        work.keep(DUNNING, reminded.model_copy(update={"over": True}))
        _thank(work, invoice)
    if invoice.deal:
        _tell_closer(work, invoice, invoice.deal)


def close_payment(work: Work) -> None:
    invoice, mirror, problem = views.invoice(work), mirror_of(work), hindrance(work)
    if invoice is None:
        return work.conclude(f"Stripe has no invoice {views.event_object(work)['id']}.")
    if invoice.status not in (None, "paid"):
        return work.conclude(f"Invoice {invoice.called} is {invoice.status} at Stripe today; nothing was booked.")
    amount = as_written(invoice.amount_paid, invoice.currency)
    text = f"Invoice {invoice.called} was paid: {amount}. {_booked(work, invoice, mirror)}"
    text += _told(work)
    if mirror is None or (invoice.amount_paid and not mirror.payment):
        why = problem or views.failed(*(work.result(one) for one in ("customer", "entered", "payment")))
        return work.fail(
            "controller.not_booked", f"{text} Why: {why or 'QuickBooks did not say'}.", "Book it, or redrive the run."
        )
    return work.conclude(text)


# -- changed in the books --------------------------------------------------------------------------------------------------


def open_books(work: Work) -> None:
    key = str(work.trigger.data["intuitentityid"])
    work.call("books", "quickbooks_get_invoice", {"invoiceId": key})
    work.call("origin", "records_read", {"entity": rules.record_of(key)})


def by_origin(work: Work) -> str:
    return "look_up_original" if _origin(work) else "close_comparison"


def look_up_original(work: Work) -> None:
    work.call("invoice", "stripe_get_invoice", {"invoice": _origin(work)})


def note_differences(work: Work) -> None:
    """What differs is named and noted, line by line. Nothing is changed: a person changed the books for a reason."""
    if (found := differences(work)) is not None:
        work.call("record", "records_write", {"entity": f"stripe:{_origin(work)}", "data": {"differences": found}})


def close_comparison(work: Work) -> None:
    key, found = work.trigger.data["intuitentityid"], differences(work)
    if missing := views.failed(work.result("books"), work.result("invoice")):
        return work.fail("controller.not_compared", f"Invoice {key} of the books was not compared: {missing}.")
    if not _origin(work):
        return work.conclude(f"Invoice {key} changed in the books; it is not one of Stripe's.")
    if found is None:
        return work.conclude(f"Invoice {key} of the books is of {_origin(work)}, which Stripe does not have.")
    invoice = _invoice(work)
    if not found:
        return work.conclude(f"Invoice {invoice.called} changed in the books and is in step with Stripe.")
    return work.conclude(f"Invoice {invoice.called} differs:\n- " + "\n- ".join(found))


def differences(work: Work) -> list[str] | None:
    """None while one of the two sides is not known."""
    books, found = (work.value("books") or {}).get("Invoice"), work.value("invoice")
    if not books or not found:
        return None
    return rules.differences(Invoice.model_validate(found), books)


# -- parts -----------------------------------------------------------------------------------------------------------------


def mirror_of(work: Work) -> Mirror | None:
    """How the invoice stands in the books by now."""
    kept, entered = work.kept(KEPT, Mirror), (work.value("entered") or {}).get("Invoice")
    found = kept or _already_there(work)
    if entered:
        found = Mirror(customer=str(entered["CustomerRef"]["value"]), invoice=str(entered["Id"]))
    payment = (work.value("payment") or {}).get("Payment")
    return found.model_copy(update={"payment": str(payment["Id"])}) if found and payment else found


def _already_there(work: Work) -> Mirror | None:
    """The invoice of an earlier run that did not come to its end: it has our note."""
    invoice = views.invoice(work)
    for one in rules.rows(work.value("same number"), "Invoice"):
        if invoice and rules.stripe_id(one, None) == invoice.id:
            links = [link for link in one.get("LinkedTxn") or [] if link.get("TxnType") == "Payment"]
            payment = str(links[0]["TxnId"]) if links else None
            return Mirror(customer=str(one["CustomerRef"]["value"]), invoice=str(one["Id"]), payment=payment)
    return None


def hindrance(work: Work) -> str | None:
    """Why it cannot be entered; None when nothing stands in the way."""
    looked = [one for name in ("customers", "items", "accounts", "same number") for one in work.results(name)]
    if missing := views.failed(*looked):
        return missing
    invoice = views.invoice(work)
    if invoice is None or mirror_of(work) or not looked:
        return None
    if home := rules.foreign_currency(invoice, rules.rows(work.value("accounts"), "Account")):
        return f"the invoice is in {invoice.currency.upper()}, the books are kept in {home}"
    if rules.item_in(rules.rows(work.value("items"), "Item")) is None:
        return "the books have no service item to sell as"
    return None


def customer_of(work: Work) -> str | None:
    created = (work.value("customer") or {}).get("Customer")
    return str(created["Id"]) if created else rules.customer_in(_customers(work), _invoice(work))


def _customers(work: Work) -> list[dict[str, object]]:
    return [dict(row) for one in work.results("customers") for row in rules.rows(one.value, "Customer")]


def _invoice(work: Work) -> Invoice:
    found = views.invoice(work)
    assert found is not None  # noqa: S101  # the routes looked
    return found


def _origin(work: Work) -> str | None:
    books = (work.value("books") or {}).get("Invoice") or {}
    return rules.stripe_id(books, work.value("origin"))


def _note(work: Work, invoice: Invoice, mirror: Mirror) -> None:
    stands = {
        "status": "paid",
        "amount": invoice.amount_paid,
        "currency": invoice.currency,
        "quickbooks_invoice": mirror.invoice,
    }
    work.call("record", "records_write", {"entity": f"stripe:{invoice.id}", "data": stands})
    work.call(
        "record", "records_write", {"entity": rules.record_of(mirror.invoice), "data": {"stripe_invoice": invoice.id}}
    )
    for one in work.results("intents"):
        charge = domain.ref((one.value or {}).get("latest_charge"))
        if mirror.payment and charge:
            booked = {
                "amount": one.value.get("amount_received", invoice.amount_paid),
                "quickbooks_payment": mirror.payment,
            }
            work.call("record", "records_write", {"entity": payouts.record_of(charge), "data": booked})


def _paid_by(work: Work) -> list[str]:
    """The payments that paid the invoice."""
    paid = [(one.get("payment") or {}) for one in views.objects((work.value("invoice") or {}).get("payments"))]
    return [found for one in paid if (found := domain.ref(one.get("payment_intent")))]


def _thank(work: Work, invoice: Invoice) -> None:
    if invoice.customer_email:
        letter = dunning.thanks(invoice, work.business.name)
        work.call(
            "thanks", "email_send", {"to": [invoice.customer_email], "subject": letter.subject, "text": letter.text}
        )
        fact = {"name": "open_invoice", "value": "none", "text": f"Invoice {invoice.called} was paid; nothing is open"}
        work.call("remember", "memory_remember", {"entity": f"person:{invoice.customer_email}", "facts": [fact]})


def _tell_closer(work: Work, invoice: Invoice, deal: str) -> None:
    """In the lead's own conversation: Closer goes on with the deal there."""
    paid: dict[str, Any] = {"email": invoice.lead, "deal": deal, "subject": f"invoice {invoice.called}"}
    paid |= {"reference": invoice.id, "amount_cents": invoice.amount_paid, "currency": invoice.currency}
    amount = as_written(invoice.amount_paid, invoice.currency)
    told = f"Invoice {invoice.called} over {amount} of deal {deal} was paid. Go on with the deal."
    given = {"agent": "closer", "instruction": told, "context": {"paid": paid}}
    work.call(
        "closer", "task_delegate", given | ({"conversation": f"lead:{invoice.lead.lower()}"} if invoice.lead else {})
    )


def _booked(work: Work, invoice: Invoice, mirror: Mirror | None) -> str:
    if mirror is None:
        return "It is not in the books."
    if invoice.amount_paid and not mirror.payment:
        return f"Invoice {mirror.invoice} is in the books, its payment is not."
    fresh = work.value("entered") is not None
    return f"{'Entered' if fresh else 'It stands'} in the books as invoice {mirror.invoice}, payment {mirror.payment or 'none'}."


def _told(work: Work) -> str:
    thanks, closer, timer = work.result("thanks"), work.result("closer"), work.result("timer")
    said = " Reminders stopped." if timer and timer.ok else ""
    if thanks:
        said += " The customer was thanked." if thanks.ok else f" The customer was not thanked: {thanks.why}."
    if closer:
        said += " Closer knows." if closer.ok else f" Closer was not told: {closer.why}."
    return said
