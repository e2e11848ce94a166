"""How a paid Stripe invoice stands in QuickBooks, and in what the two differ. Sums are whole minor units on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from services.controller.domain import Invoice
from shared.money import as_json, as_written, minor

NOTE = "Stripe invoice "
REST, DISCOUNT = "Taxes and other charges", "Discounts"
MOST_LINES = 199
Lines = list[tuple[str, int]]  # description, amount; negative: a discount


class Mirror(BaseModel):
    """Kept of an invoice: how it stands in QuickBooks."""

    customer: str
    invoice: str
    payment: str | None = None


def record_of(books_id: str) -> str:
    """The record that says which Stripe invoice an invoice of the books is of."""
    return f"quickbooks-invoice:{books_id}"


def lines_of(invoice: Invoice) -> Lines:
    """The lines as they are to stand in the books. They add up to what the invoice is worth, to the cent: what its own lines
    leave out (taxes, discounts, lines beyond those shown) is a line of its own."""
    shown = [(one.description or "Service", one.amount) for one in invoice.lines[:MOST_LINES] if one.amount > 0]
    taken = sum(one.amount for one in invoice.lines if one.amount < 0)
    rest = invoice.worth - sum(amount for _, amount in shown) - taken
    taken, rest = taken + min(rest, 0), max(rest, 0)
    return [*shown, *([(REST, rest)] if rest else []), *([(DISCOUNT, taken)] if taken else [])]


def new_invoice(invoice: Invoice, customer: str, item: str, number_taken: bool) -> dict[str, Any]:
    """The arguments that enter it. A number that the books use for something else is left to QuickBooks."""
    number = invoice.number if invoice.number and len(invoice.number) <= 21 and not number_taken else None
    return {
        "CustomerRef": {"value": customer},
        "Line": [_line(description, amount, invoice.currency, item) for description, amount in lines_of(invoice)],
        "DocNumber": number,
        "BillEmail": {"Address": invoice.customer_email} if invoice.customer_email else None,
        "PrivateNote": NOTE + invoice.id,
    }


def _line(description: str, amount: int, currency: str, item: str) -> dict[str, Any]:
    if amount < 0:
        return {"Amount": as_json(-amount, currency), "DetailType": "DiscountLineDetail", "DiscountLineDetail": {}}
    return {
        "Amount": as_json(amount, currency),
        "Description": description[:4000],
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item}},
    }


def new_payment(invoice: Invoice, mirror: Mirror) -> dict[str, Any]:
    amount = as_json(invoice.amount_paid, invoice.currency)
    return {
        "CustomerRef": {"value": mirror.customer},
        "TotalAmt": amount,
        "Line": [{"Amount": amount, "LinkedTxn": [{"TxnId": mirror.invoice, "TxnType": "Invoice"}]}],
        "PaymentRefNum": invoice.number[:21] if invoice.number else None,
        "PrivateNote": NOTE + invoice.id,
    }


# -- finding what is there ------------------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A value in Intuit's query language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def display_name(invoice: Invoice) -> str:
    """The customer's name in the books; without what QuickBooks takes in no name."""
    name = invoice.customer_name or invoice.customer_email or f"Stripe customer {invoice.customer or invoice.id}"
    return " ".join(name.replace(":", " ").split())[:300]


def name_apart(invoice: Invoice) -> str:
    """The name where another customer has it already."""
    return f"{display_name(invoice)} ({invoice.customer_email or invoice.customer or invoice.id})"


def rows(answer: Any, entity: str) -> list[Mapping[str, Any]]:
    """The rows of a query's answer."""
    found = (answer or {}).get("QueryResponse") or {}
    return list(found.get(entity) or [])


def customer_in(customers: Iterable[Mapping[str, Any]], invoice: Invoice) -> str | None:
    """The customer of an invoice among those found: by mail address, or by a name that no other address has."""
    email, name = (invoice.customer_email or "").lower(), display_name(invoice).lower()
    by_name = None
    for one in customers:
        theirs = str((one.get("PrimaryEmailAddr") or {}).get("Address") or "").lower()
        if email and theirs == email:
            return str(one["Id"])
        if str(one.get("DisplayName", "")).lower() == name and (not theirs or not email):
            by_name = by_name or str(one["Id"])
    return by_name


def is_name_taken(customers: Iterable[Mapping[str, Any]], invoice: Invoice) -> bool:
    return any(str(one.get("DisplayName", "")).lower() == display_name(invoice).lower() for one in customers)


def item_in(items: Sequence[Mapping[str, Any]]) -> str | None:
    """What the lines are sold as: the item "Services" where there is one, else the first."""
    named = [one for one in items if str(one.get("Name", "")).lower() == "services"]
    return str((named or list(items))[0]["Id"]) if items else None


def foreign_currency(invoice: Invoice, accounts: Sequence[Mapping[str, Any]]) -> str | None:
    """The currency of the books, when it is not the invoice's."""
    homes = {str((one.get("CurrencyRef") or {}).get("value") or "").lower() for one in accounts} - {""}
    return None if not homes or invoice.currency.lower() in homes else sorted(homes)[0].upper()


def stripe_id(books: Mapping[str, Any], record: Any) -> str | None:
    """The Stripe invoice that an invoice of the books is of: by our record, else by the note that we wrote on it."""
    known = ((record or {}).get("data") or record or {}).get("stripe_invoice")
    note = str(books.get("PrivateNote") or "")
    return known or (note.removeprefix(NOTE).split()[0] if note.startswith(NOTE) else None)


# -- comparing -------------------------------------------------------------------------------------------------------------


def differences(invoice: Invoice, books: Mapping[str, Any]) -> list[str]:
    """In what the books say otherwise than Stripe, line by line."""
    currency = invoice.currency
    found = []
    total, balance = minor(books.get("TotalAmt") or 0, currency), minor(books.get("Balance") or 0, currency)
    if total != invoice.worth:
        found.append(
            f"total: {as_written(total, currency)} in the books, {as_written(invoice.worth, currency)} at Stripe"
        )
    owed = 0 if invoice.status in ("paid", "void") else invoice.owed
    if balance != owed:
        found.append(
            f"still owed: {as_written(balance, currency)} in the books, {as_written(owed, currency)} at Stripe"
        )
    return found + _of_lines(lines_of(invoice), _lines_in(books, currency), currency)


def _lines_in(books: Mapping[str, Any], currency: str) -> Lines:
    found: Lines = []
    for line in books.get("Line") or []:
        amount = minor(line.get("Amount") or 0, currency)
        if line.get("DetailType") == "SalesItemLineDetail":
            found.append((str(line.get("Description") or "Service"), amount))
        elif line.get("DetailType") == "DiscountLineDetail":
            found.append((DISCOUNT, -amount))
    return found


def _of_lines(stripe: Lines, books: Lines, currency: str) -> list[str]:
    """Lines that are the same on both sides go first; of the rest, those of one description belong together."""
    ours, theirs = list(stripe), list(books)
    for line in stripe:
        if line in theirs:
            ours.remove(line)
            theirs.remove(line)
    found = []
    for name, amount in ours:
        here = f"line {name!r}: {as_written(amount, currency)} at Stripe"
        same = next((one for one in theirs if one[0] == name), None)
        if same:
            theirs.remove(same)
        found.append(f"{here}, {as_written(same[1], currency)} in the books" if same else f"{here}, not in the books")
    only = [f"line {name!r}: {as_written(amount, currency)} in the books, not at Stripe" for name, amount in theirs]
    return found + only
