"""python-quickbooks takes the emulator's books for the real thing. All requests come from it."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from quickbooks import exceptions
    from quickbooks.objects.account import Account
    from quickbooks.objects.base import EmailAddress
    from quickbooks.objects.bill import Bill
    from quickbooks.objects.company_info import CompanyInfo
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.invoice import Invoice
    from quickbooks.objects.item import Item
    from quickbooks.objects.payment import Payment
    from quickbooks.objects.vendor import Vendor

from sandbox.vendors.quickbooks import REALM_ID
from tests.contract.emulators import Served
from tests.contract.quickbooks_client import (
    a_payment,
    an_invoice,
    auth,
    connect,
    new_bill,
    new_customer,
    quickbooks_served,
)

__all__ = ["quickbooks_served"]
pytestmark = pytest.mark.filterwarnings("ignore")


def test_customers_are_created_read_and_updated(served: Served) -> None:
    qb = connect()
    made = new_customer(qb, "Ana O'Neil", GivenName="Ana")
    made.Notes = "prefers e-mail"
    changed = made.save(qb=qb)
    assert (changed.SyncToken, changed.Notes) == ("1", "prefers e-mail")
    found = Customer.get(made.Id, qb=qb)
    assert (found.DisplayName, found.GivenName, found.Balance) == ("Ana O'Neil", "Ana", 0)
    assert Customer.filter(DisplayName="Ana O'Neil", qb=qb)[0].Id == made.Id
    assert CompanyInfo.get(REALM_ID, qb=qb).Country == "US"
    assert served.operations == ["created", "updated"]


def test_a_sparse_update_keeps_what_it_does_not_name(served: Served) -> None:
    qb = connect()
    made = new_customer(qb, "Ana", GivenName="Ana", CompanyName="Ana & Co")
    body = {"Id": made.Id, "SyncToken": made.SyncToken, "sparse": True, "CompanyName": "Ana & Sons"}
    answer = qb.update_object("Customer", json.dumps(body))["Customer"]
    assert (answer["GivenName"], answer["CompanyName"], answer["SyncToken"]) == ("Ana", "Ana & Sons", "1")
    del body["sparse"]
    full = qb.update_object("Customer", json.dumps(body | {"SyncToken": "1", "DisplayName": "Ana"}))["Customer"]
    assert "GivenName" not in full


def test_a_stale_sync_token_is_refused(served: Served) -> None:
    qb = connect()
    made = new_customer(qb, "Ana")
    made.save(qb=qb)
    with pytest.raises(exceptions.QuickbooksException) as error:
        made.save(qb=qb)
    assert error.value.error_code == 5010
    assert "Stale Object" in error.value.message
    assert Customer.get(made.Id, qb=qb).SyncToken == "1"


def test_a_payment_lowers_the_balance(served: Served) -> None:
    qb = connect()
    customer = new_customer(qb, "Ana")
    invoice = an_invoice(customer, Decimal("150.10"), qb).save(qb=qb)
    assert (invoice.TotalAmt, invoice.Balance, invoice.DocNumber, invoice.EmailStatus) == (
        150.1,
        150.1,
        "1001",
        "NotSet",
    )
    paid = a_payment(invoice, customer, 50).save(qb=qb)
    assert paid.UnappliedAmt == 0
    now = Invoice.get(invoice.Id, qb=qb)
    assert (now.Balance, now.LinkedTxn[0].TxnId) == (100.1, paid.Id)
    assert Customer.get(customer.Id, qb=qb).Balance == 100.1
    with pytest.raises(exceptions.QuickbooksException) as error:
        a_payment(invoice, customer, 100.11).save(qb=qb)
    assert error.value.error_code == 6000
    assert Payment.count(qb=qb) == 1


def test_invoices_are_sent_voided_and_deleted(served: Served) -> None:
    qb = connect()
    customer = new_customer(qb, "Ana")
    invoice = an_invoice(customer, 80, qb).save(qb=qb)
    payment = a_payment(invoice, customer, 30).save(qb=qb)
    sent = invoice.send(qb=qb, send_to="ana+books@x.co")["Invoice"]
    assert (sent["EmailStatus"], sent["BillEmail"]["Address"]) == ("EmailSent", "ana+books@x.co")
    voided = Invoice.get(invoice.Id, qb=qb).void(qb=qb)["Invoice"]
    assert (voided["TotalAmt"], voided["Balance"], voided["PrivateNote"]) == (0, 0, "Voided")
    assert Payment.get(payment.Id, qb=qb).UnappliedAmt == 30
    assert Payment.get(payment.Id, qb=qb).void(qb=qb)["Payment"]["TotalAmt"] == 0
    answer = Invoice.get(invoice.Id, qb=qb).delete(qb=qb)["Invoice"]
    assert answer["status"] == "Deleted"
    with pytest.raises(exceptions.ObjectNotFoundException):
        Invoice.get(invoice.Id, qb=qb)


def test_an_invoice_that_was_read_can_be_saved_again(served: Served) -> None:
    qb = connect()
    customer = new_customer(qb, "Ana")
    invoice = an_invoice(customer, 80, qb).save(qb=qb)
    payment = a_payment(invoice, customer, 30).save(qb=qb)
    read = Invoice.get(invoice.Id, qb=qb)
    read.DueDate, read.Line[0].Amount = "2030-01-31", 90
    saved = read.save(qb=qb)
    assert (saved.DueDate, saved.TotalAmt, saved.Balance, saved.DocNumber) == ("2030-01-31", 90, 60, "1001")
    assert (saved.SyncToken, len(saved.Line)) == ("1", 2)
    read.SyncToken, read.Line[0].Amount = "1", 20
    with pytest.raises(exceptions.QuickbooksException) as error:
        read.save(qb=qb)
    assert error.value.error_code == 6000
    assert Invoice.get(invoice.Id, qb=qb).TotalAmt == 90
    payment.TotalAmt = payment.Line[0].Amount = 90
    assert payment.save(qb=qb).UnappliedAmt == 0
    assert Invoice.get(invoice.Id, qb=qb).Balance == 0


def test_bills_and_vendors(served: Served) -> None:
    qb = connect()
    bill = new_bill(qb, "42.50")
    assert (bill.TotalAmt, bill.Balance) == (42.5, 42.5)
    assert Vendor.filter(DisplayName="Paper Ltd", qb=qb)[0].Balance == 42.5
    assert Account.filter(AccountType="Accounts Payable", qb=qb)[0].CurrentBalance == 42.5
    with pytest.raises(exceptions.ValidationException) as missing:
        Bill().save(qb=qb)
    assert missing.value.error_code == 2020


def test_queries_page_sort_count_and_compare(served: Served) -> None:
    qb = connect()
    for number in range(1, 8):
        new_customer(qb, f"Client {number}", Active=number != 7)
    new_customer(qb, "Other")
    names: list[str] = []
    while page := Customer.where("DisplayName LIKE 'client%'", "DisplayName DESC", len(names) + 1, 4, qb=qb):
        names += [customer.DisplayName for customer in page]
    assert names == [f"Client {number}" for number in (6, 5, 4, 3, 2, 1)]
    assert Customer.count("Active IN (true, false)", qb=qb) == 8
    assert [c.DisplayName for c in Customer.choose(["Other", "Client 2"], "DisplayName", qb=qb)] == [
        "Client 2",
        "Other",
    ]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert Customer.where(f"MetaData.LastUpdatedTime > '{tomorrow}'", qb=qb) == []
    assert [item.Name for item in Item.all(order_by="UnitPrice DESC", qb=qb)] == ["Hours", "Services"]
    invoices = [
        an_invoice(Customer.filter(DisplayName="Other", qb=qb)[0], sum_, qb).save(qb=qb) for sum_ in (5, 50, 500)
    ]
    found = Invoice.where(f"Balance >= '50' AND TxnDate <= '{tomorrow[:10]}'", order_by="Balance", qb=qb)
    assert [invoice.Id for invoice in found] == [invoices[1].Id, invoices[2].Id]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("select * from Customer where DisplayName = 'a' or DisplayName = 'b'", 4000),
        ("select * from Customer where DisplayName = 'a", 4000),
        ("select * from Customer maxresults 1001", 4001),
        ("select * from Customer where ShoeSize = '44'", 4001),
        ("select * from Sandwich", 4001),
    ],
)
def test_statements_intuit_refuses(served: Served, statement: str, code: int) -> None:
    with pytest.raises(exceptions.ValidationException) as error:
        connect().query(statement)
    assert error.value.error_code == code


def test_a_quote_does_not_end_a_value(served: Served) -> None:
    qb = connect()
    new_customer(qb, "Ana")
    assert Customer.filter(DisplayName="x' and DisplayName like '%", qb=qb) == []
    assert len(Customer.where(r"DisplayName IN ('Ana', 'O\'Neil')", qb=qb)) == 1


def test_duplicates_and_wrong_references(served: Served) -> None:
    qb = connect()
    ana = new_customer(qb, "Ana")
    vendor = Vendor()
    vendor.DisplayName = "ana"
    with pytest.raises(exceptions.QuickbooksException) as name:
        vendor.save(qb=qb)
    assert (name.value.error_code, name.value.detail) == (6240, f"The name supplied already exists. : Id={ana.Id}")
    first = an_invoice(ana, 10, qb, number="R-1").save(qb=qb)
    with pytest.raises(exceptions.QuickbooksException) as number:
        an_invoice(ana, 10, qb, number="R-1").save(qb=qb)
    assert number.value.error_code == 6140
    assert f"TxnId={first.Id}" in number.value.detail
    ana.Id = "999"
    with pytest.raises(exceptions.ValidationException) as reference:
        an_invoice(ana, 10, qb).save(qb=qb)
    assert reference.value.error_code == 2500


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda i: setattr(i, "Line", []), 2020),
        (lambda i: setattr(i.Line[0], "Amount", -1), 6000),
        (lambda i: setattr(i.Line[0], "Amount", "ten"), 2010),
        (lambda i: setattr(i.Line[0], "DetailType", "Sales"), 2170),
        (lambda i: setattr(i, "DocNumber", "1" * 22), 2050),
        (lambda i: setattr(i, "TxnDate", "tomorrow"), 2010),
        (lambda i: setattr(i, "BillEmail", _email("nobody")), 2210),
        (lambda i: vars(i.Line[0].SalesItemLineDetail).update(Qty=2, UnitPrice=4), 6070),
    ],
)
def test_invoices_intuit_refuses(served: Served, change: Any, code: int) -> None:
    qb = connect()
    invoice = an_invoice(new_customer(qb, "Ana"), 10, qb)
    change(invoice)
    with pytest.raises(exceptions.QuickbooksException) as error:
        invoice.save(qb=qb)
    assert error.value.error_code == code
    assert Invoice.count(qb=qb) == 0


def _email(address: str) -> Any:
    made = EmailAddress()
    made.Address = address
    return made


def test_a_request_id_is_executed_once(served: Served) -> None:
    qb = connect()
    customer = new_customer(qb, "Ana")
    first = an_invoice(customer, 10, qb).save(qb=qb, request_id="run-1")
    again = an_invoice(customer, 99, qb).save(qb=qb, request_id="run-1")
    assert (again.Id, again.TotalAmt, again.MetaData.CreateTime) == (first.Id, 10, first.MetaData.CreateTime)
    assert Invoice.count(qb=qb) == 1
    assert an_invoice(customer, 10, qb).save(qb=qb, request_id="run-2").Id != first.Id
    with pytest.raises(exceptions.ValidationException):
        an_invoice(customer, 10, qb).save(qb=qb, request_id="x" * 51)


def test_a_request_id_survives_a_lost_answer(served: Served) -> None:
    import requests

    qb = connect()
    customer = new_customer(qb, "Ana")
    served.fault(kind="cut_after", method="POST", path="/invoice")
    invoice = an_invoice(customer, 10, qb)
    with pytest.raises(requests.exceptions.ConnectionError):
        invoice.save(qb=qb, request_id="run-1")
    assert invoice.save(qb=qb, request_id="run-1").DocNumber == "1001"
    assert Invoice.count(qb=qb) == 1


def test_a_fault_may_arrive_with_status_200(served: Served) -> None:
    qb = connect()
    served.fault(kind="failed_200", method="POST", path="/customer")
    with pytest.raises(exceptions.QuickbooksException) as error:
        new_customer(qb, "Ana")
    assert error.value.error_code == 6000
    assert Customer.count(qb=qb) == 0
    assert new_customer(qb, "Ana").Id


def test_an_eleventh_request_at_once_is_throttled(served: Served) -> None:
    client = auth()
    served.fault(kind="slow", count=10, seconds=1.0, path="/query")
    with ThreadPoolExecutor(11) as pool:
        with served.stopped():  # ten of them are held
            started = [pool.submit(Customer.count, qb=qb) for qb in [connect(client) for _ in range(11)]]
            (refused,), held = wait(started, 60, FIRST_COMPLETED)
        assert "ThrottleExceeded" in str(refused.exception(60))
        assert [future.exception(60) for future in held] == [None] * 10


def test_throttled_and_broken(served: Served) -> None:
    qb = connect()
    served.fault(kind="429")
    with pytest.raises(exceptions.QuickbooksException) as throttled:
        Customer.count(qb=qb)
    assert throttled.value.error_code == 3001
    assert "ThrottleExceeded; errorCode=003001; statusCode=429" in throttled.value.message
    served.fault(kind="500")
    with pytest.raises(exceptions.SevereException) as broken:
        Customer.count(qb=qb)
    assert broken.value.error_code == 10000


def test_reports_add_up(served: Served) -> None:
    qb = connect()
    customer = new_customer(qb, "Ana")
    today = datetime.now(UTC).date()
    late = an_invoice(customer, 200, qb, due=(today - timedelta(days=45)).isoformat()).save(qb=qb)
    an_invoice(customer, 100, qb).save(qb=qb)
    a_payment(late, customer, 50).save(qb=qb)
    new_bill(qb, "42.50")
    profit = _summaries(qb.get_report("ProfitAndLoss", {"date_macro": "This Month"})["Rows"])
    assert (profit["Total Income"], profit["Total Expenses"], profit["Net Income"]) == ("300.00", "42.50", "257.50")
    assert (
        _summaries(qb.get_report("ProfitAndLoss", {"start_date": "2001-01-01", "end_date": "2001-12-31"})["Rows"])[
            "Net Income"
        ]
        == "0.00"
    )
    sheet = qb.get_report("BalanceSheet")
    totals = _summaries(sheet["Rows"])
    assert totals["TOTAL ASSETS"] == totals["TOTAL LIABILITIES AND EQUITY"] == "300.00"
    assert (totals["Total Accounts Receivable"], totals["Total Accounts Payable"]) == ("250.00", "42.50")
    assert sheet["Header"]["ReportName"] == "BalanceSheet"
    aged = qb.get_report("AgedReceivables")
    assert [c["ColTitle"] for c in aged["Columns"]["Column"]][1:4] == ["Current", "1 - 30", "31 - 60"]
    assert [c["value"] for c in aged["Rows"]["Row"][0]["ColData"]] == [
        "Ana",
        "100.00",
        "0.00",
        "150.00",
        "0.00",
        "0.00",
        "250.00",
    ]
    with pytest.raises(exceptions.UnsupportedException):
        qb.get_report("Horoscope")


def _summaries(rows: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows["Row"]:
        found |= _summaries(row["Rows"]) if "Rows" in row else {}
        cells = row.get("Summary", {}).get("ColData")
        found |= {cells[0]["value"]: cells[-1]["value"]} if cells else {}
    return found
