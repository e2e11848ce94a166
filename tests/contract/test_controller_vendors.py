"""Controller's graph against Stripe's and QuickBooks's emulators, through the gateway's own requests and answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.vendors.oauth import Access
from sandbox.vendors.quickbooks import CLIENT_ID, CLIENT_SECRET, REALM_ID, REFRESH_TOKEN, QuickBooks
from sandbox.vendors.stripe import API_KEY, Stripe
from tests.contract.side_by_side import TOOLS, SideBySide, call_id
from tests.unit.agents.acting import Ends, Stage, event, stripe_event, task

ACCESS = "access-of-controller"
DECLINED = "pm_card_chargeCustomerFail"
OFFICE: dict[str, Any] = {
    "timer_set": {},
    "timer_cancel": {},
    "memory_remember": {},
    "records_write": {},
    "email_send": {"accepted": []},
}


@dataclass
class Vendors:
    """Both vendors, and what was written to our own records."""

    stripe: SideBySide
    quickbooks: SideBySide

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(1)
        self.records: dict[str, Any] = {}

    def stage(self) -> Stage:
        own = {"records_write": self._write, "records_read": self._read}
        return Stage("controller", OFFICE | {name: self._tool(name) for name in TOOLS if self._of(name)} | own)

    def ask(self, tool: str, arguments: dict[str, Any]) -> Any:
        """A call as the gateway makes it. Each has a key of its own."""
        vendor = self._of(tool)
        assert vendor is not None
        found = self._threads.submit(vendor.call, tool, call_id(), **arguments).result(60)
        if found.state != "succeeded":
            raise Ends(found.state, str(found.error), **(found.error or {}))
        return found.result

    def _of(self, tool: str) -> SideBySide | None:
        return {"stripe": self.stripe, "quickbooks": self.quickbooks}.get(TOOLS[tool].vendor)

    def _tool(self, name: str) -> Any:
        return lambda arguments: self.ask(name, arguments)

    def _write(self, given: dict[str, Any]) -> Any:
        self.records[given["entity"]] = self.records.get(given["entity"], {}) | given["data"]
        return {"entity": given["entity"]}

    def _read(self, given: dict[str, Any]) -> Any:
        found = self.records.get(given["entity"])
        return {"entity": given["entity"], "data": found} if found else None

    def close(self) -> None:
        self.stripe.close()
        self.quickbooks.close()
        self._threads.shutdown()

    # -- what happens there ------------------------------------------------------------------------------------------------

    def invoice(self, amounts: dict[str, int], card: str = "pm_card_visa") -> dict[str, Any]:
        """A finalized invoice of a customer with this card."""
        customer = self.ask("stripe_create_customer", {"email": "ana@example.com", "name": "Ana's Roofs"})
        self.stripe.emulator.book.rows["customers"][customer["id"]]["_card"] = card  # type: ignore[attr-defined]
        made = self.ask("stripe_create_invoice", {"customer": customer["id"]})
        for description, amount in amounts.items():
            item = {"customer": customer["id"], "invoice": made["id"], "amount": amount, "currency": "usd"}
            self.ask("stripe_create_invoice_item", item | {"description": description})
        self.ask("stripe_finalize_invoice", {"invoice": made["id"]})
        return self.shown(made["id"])

    def shown(self, invoice: str) -> dict[str, Any]:
        """The invoice as Stripe's events have it."""
        return dict(self.stripe.emulator.book.rows["invoices"][invoice])  # type: ignore[attr-defined]


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    company = QuickBooks()
    company.oauth.access[ACCESS] = Access("consent", time.monotonic() + 3600)
    books = {
        "QUICKBOOKS_BASE_URL": "{url}",
        "QUICKBOOKS_REALM_ID": REALM_ID,
        "QUICKBOOKS_CLIENT_ID": CLIENT_ID,
        "QUICKBOOKS_CLIENT_SECRET": CLIENT_SECRET,
        "QUICKBOOKS_REFRESH_TOKEN": REFRESH_TOKEN,
        "ACCESS_TOKEN": ACCESS,
    }
    stripe = SideBySide(Stripe(index_delay=0), {"STRIPE_API_KEY": API_KEY, "STRIPE_BASE_URL": "{url}"})
    made = Vendors(stripe, SideBySide(company, books))
    yield made
    made.close()


async def test_an_unpaid_invoice_is_reminded_of_paid_booked_compared_and_reconciled(vendors: Vendors) -> None:
    invoice = vendors.invoice({"Roof": 130_050, "Voucher": -5_000}, DECLINED)
    with pytest.raises(Ends, match="declined"):
        vendors.ask("stripe_pay_invoice", {"invoice": invoice["id"]})
    play = vendors.stage()
    await play.play(stripe_event("invoice.payment_failed", vendors.shown(invoice["id"])))
    (mail,) = play.called("email_send")
    assert "1,250.50 USD" in mail["text"]
    assert vendors.shown(invoice["id"])["hosted_invoice_url"] in mail["text"]

    vendors.ask("stripe_pay_invoice", {"invoice": invoice["id"], "payment_method": "pm_card_visa"})
    outcome = await play.play(stripe_event("invoice.paid", vendors.shown(invoice["id"])))
    assert outcome["status"] == "finished", outcome
    (booked,) = vendors.ask("quickbooks_query", {"query": "select * from Invoice"})["QueryResponse"]["Invoice"]
    assert (booked["TotalAmt"], booked["Balance"], booked["DocNumber"]) == (1250.5, 0, invoice["number"])
    (customer,) = vendors.ask("quickbooks_query", {"query": "select * from Customer"})["QueryResponse"]["Customer"]
    assert customer["PrimaryEmailAddr"]["Address"] == "ana@example.com"

    compared = await vendors.stage().play(event("com.intuit.qbo.invoice.updated", {"intuitentityid": booked["Id"]}))
    assert "in step" in compared["text"]
    line = booked["Line"][0] | {"Amount": 1300}
    change = {"Id": booked["Id"], "SyncToken": booked["SyncToken"]}
    given = {"Amount": line["Amount"], "Description": "Roof", "DetailType": line["DetailType"]}
    item = {"SalesItemLineDetail": {"ItemRef": {"value": line["SalesItemLineDetail"]["ItemRef"]["value"]}}}
    vendors.ask("quickbooks_update_invoice", change | {"Line": [given | item]})
    compared = await vendors.stage().play(event("com.intuit.qbo.invoice.updated", {"intuitentityid": booked["Id"]}))
    assert "- line 'Roof': 1,300.50 USD at Stripe, 1,300.00 USD in the books" in compared["text"]

    vendors.stripe.control("payout")
    outcome = await vendors.stage().play(task("Reconcile payouts"))
    assert "is right to the cent" in outcome["text"]
    assert "not in the books" not in outcome["text"]


async def test_a_second_invoice_of_a_customer_makes_no_second_customer_and_no_second_booking(vendors: Vendors) -> None:
    for _ in range(2):
        invoice = vendors.invoice({"Roof": 10_000})
        vendors.ask("stripe_pay_invoice", {"invoice": invoice["id"]})
        for _ in range(2):
            outcome = await vendors.stage().play(stripe_event("invoice.paid", vendors.shown(invoice["id"])))
            assert outcome["status"] == "finished", outcome
    counts = {
        entity: len(vendors.ask("quickbooks_query", {"query": f"select * from {entity}"})["QueryResponse"][entity])  # noqa: S608
        for entity in ("Customer", "Invoice", "Payment")
    }
    assert counts == {"Customer": 1, "Invoice": 2, "Payment": 2}


async def test_a_refund_a_dispute_and_the_payout_that_has_them_both(vendors: Vendors) -> None:
    goods = vendors.stripe.control("charge", amount=90_000, description="goods")["id"]
    roof = vendors.stripe.control("charge", amount=50_000, description="roof")["id"]
    ordered = task(f"Refund 45.00 USD of {goods}: came back")
    assert (await vendors.stage().play(ordered))["status"] == "finished"
    again = await vendors.stage().play(ordered)
    assert "refunded already" in again["text"]
    assert [one["amount"] for one in vendors.ask("stripe_list_refunds", {"charge": goods})["data"]] == [4_500]

    dispute = vendors.stripe.control("dispute", charge=roof)
    play = vendors.stage()
    play.tools = {**play.tools, "person_ask": {"answer": "The roof was repaired on 3 Nov.", "by": "Dana"}}
    outcome = await play.play(stripe_event("charge.dispute.created", dispute))
    assert outcome["status"] == "finished", outcome
    shown = vendors.ask("stripe_get_dispute", {"dispute": dispute["id"]})
    assert shown["status"] == "under_review"
    assert "The roof was repaired on 3 Nov." in shown["evidence"]["uncategorized_text"]

    vendors.stripe.control("payout")
    outcome = await vendors.stage().play(task("Reconcile payouts"))
    assert "is right to the cent" in outcome["text"]
    assert "- refunds: -45.00 USD (1)" in outcome["text"]
    assert "- disputes and adjustments: -500.00 USD (1)" in outcome["text"]
    month = await vendors.stage().play(task(month={"month": time.strftime("%Y-%m", time.gmtime())}))
    assert "USD: charges: 1,400.00 USD (2)" in month["text"]
