"""QuickBooks Online: our requests equal those of python-quickbooks, for every tool of the document."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from quickbooks.exceptions import QuickbooksException
    from quickbooks.objects import detailline
    from quickbooks.objects.base import Address, CustomerMemo, EmailAddress, LinkedTxn, PhoneNumber, Ref
    from quickbooks.objects.bill import Bill
    from quickbooks.objects.company_info import CompanyInfo
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.invoice import Invoice
    from quickbooks.objects.payment import Payment, PaymentLine

from sandbox.vendors.oauth import Access
from sandbox.vendors.quickbooks import CLIENT_ID, CLIENT_SECRET, REALM_ID, REFRESH_TOKEN, QuickBooks
from services.tool_gateway.wire.encode import prepare
from tests.contract.quickbooks_client import a_payment, aim, an_invoice, auth, connect, new_bill, new_customer
from tests.contract.side_by_side import TOOLS, Seen, SideBySide, call_id

pytestmark = pytest.mark.filterwarnings("ignore")
ACCESS = "access-of-both"
DEFAULTS = {
    "Active": True,
    "Taxable": True,
    "domain": "QBO",
    "AllowIPNPayment": True,
    "EmailStatus": "NotSet",
    "PrintStatus": "NotSet",
    "ExchangeRate": 1,
    "GlobalTaxCalculation": "TaxExcluded",
}
"""What every object of the SDK carries without being told to; we leave these to Intuit."""


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[SideBySide]:
    emulator = QuickBooks()
    emulator.oauth.access[ACCESS] = Access("consent", time.monotonic() + 3600)
    settings = {
        "QUICKBOOKS_BASE_URL": "{url}",
        "QUICKBOOKS_REALM_ID": REALM_ID,
        "QUICKBOOKS_CLIENT_ID": CLIENT_ID,
        "QUICKBOOKS_CLIENT_SECRET": CLIENT_SECRET,
        "QUICKBOOKS_REFRESH_TOKEN": REFRESH_TOKEN,
        "ACCESS_TOKEN": ACCESS,
    }
    made = SideBySide(emulator, settings)
    aim(monkeypatch, made.url)
    yield made
    made.close()


@dataclass
class Books:
    """What the operations are about: made by the SDK before anything is compared."""

    qb: Any
    customer: Any
    invoice: Any
    account: str
    vendor: str


@pytest.fixture
def books(both: SideBySide) -> Books:
    qb = connect(auth(access_token=ACCESS, refresh_token=REFRESH_TOKEN))
    customer = new_customer(qb, "Ana O'Neil", GivenName="Ana")
    bill = new_bill(qb, 5)
    account = bill.Line[0].AccountBasedExpenseLineDetail.AccountRef.value
    return Books(qb, customer, an_invoice(customer, 80, qb).save(qb=qb), account, bill.VendorRef.value)


def made(kind: Any, **fields: Any) -> Any:
    thing = kind()
    for name, value in fields.items():
        setattr(thing, name, value)
    return thing


def bare(value: Any) -> Any:
    """Without what is empty and without the SDK's defaults."""
    if isinstance(value, dict):
        plain = {k: bare(v) for k, v in value.items() if DEFAULTS.get(k) != v}
        return {k: v for k, v in plain.items() if v not in ("", None, 0, False, [], {})}
    return [bare(item) for item in value] if isinstance(value, list) else value


def create_customer(b: Books) -> tuple[dict[str, Any], Any]:
    ours = {
        "DisplayName": "Bo & Söhne",
        "GivenName": "Bo",
        "PrimaryEmailAddr": {"Address": "bo@x.co"},
        "PrimaryPhone": {"FreeFormNumber": "+14155550123"},
        "BillAddr": {"Line1": "1 Road", "City": "Rome"},
    }
    theirs = made(
        Customer,
        DisplayName="Bo & Söhne",
        GivenName="Bo",
        PrimaryEmailAddr=made(EmailAddress, Address="bo@x.co"),
        PrimaryPhone=made(PhoneNumber, FreeFormNumber="+14155550123"),
        BillAddr=made(Address, Line1="1 Road", City="Rome"),
    )

    # A name is taken once it is used: the SDK's request is refused, and is the same request.
    def refused() -> None:
        with pytest.raises(QuickbooksException):
            theirs.save(qb=b.qb)

    return ours, refused


def update_customer(b: Books) -> tuple[dict[str, Any], Any]:
    ours = {"Id": b.customer.Id, "SyncToken": "0", "CompanyName": "Ana & Co", "Active": False}
    body = json.dumps(ours | {"sparse": True, "SyncToken": "1"})
    return ours, lambda: b.qb.update_object("Customer", body)


def create_invoice(b: Books) -> tuple[dict[str, Any], Any]:
    detail = {"ItemRef": {"value": "2"}, "Qty": 2, "UnitPrice": 50.25}
    line = {"Amount": 100.5, "Description": "March", "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}
    ours = {
        "CustomerRef": {"value": b.customer.Id},
        "Line": [line],
        "DueDate": "2030-01-31",
        "BillEmail": {"Address": "ana@x.co"},
        "CustomerMemo": {"value": "Thanks"},
        "PrivateNote": "n",
    }
    sold = made(detailline.SalesItemLineDetail, ItemRef=made(Ref, value="2"), Qty=2, UnitPrice=50.25)
    theirs = made(
        Invoice,
        CustomerRef=made(Ref, value=b.customer.Id),
        DueDate="2030-01-31",
        PrivateNote="n",
        BillEmail=made(EmailAddress, Address="ana@x.co"),
        CustomerMemo=made(CustomerMemo, value="Thanks"),
        Line=[made(detailline.SalesItemLine, Amount=100.5, Description="March", SalesItemLineDetail=sold)],
    )
    return ours, lambda: theirs.save(qb=b.qb)


def update_invoice(b: Books) -> tuple[dict[str, Any], Any]:
    ours = {"Id": b.invoice.Id, "SyncToken": "0", "DueDate": "2031-01-31"}
    return ours, lambda: b.qb.update_object("Invoice", json.dumps(ours | {"sparse": True, "SyncToken": "1"}))


def void_invoice(b: Books) -> tuple[dict[str, Any], Any]:
    return {"Id": b.invoice.Id, "SyncToken": "0"}, lambda: Invoice.get(b.invoice.Id, qb=b.qb).void(qb=b.qb)


def create_payment(b: Books) -> tuple[dict[str, Any], Any]:
    link = {"TxnId": b.invoice.Id, "TxnType": "Invoice"}
    ours = {
        "CustomerRef": {"value": b.customer.Id},
        "TotalAmt": 30.1,
        "PaymentRefNum": "77",
        "TxnDate": "2030-01-01",
        "Line": [{"Amount": 30.1, "LinkedTxn": [link]}],
    }
    line = made(PaymentLine, Amount=30.1, LinkedTxn=[made(LinkedTxn, **link)])
    theirs = made(
        Payment,
        CustomerRef=made(Ref, value=b.customer.Id),
        TotalAmt=30.1,
        PaymentRefNum="77",
        TxnDate="2030-01-01",
        Line=[line],
    )
    return ours, lambda: theirs.save(qb=b.qb)


def create_bill(b: Books) -> tuple[dict[str, Any], Any]:
    detail = {"AccountRef": {"value": b.account}}
    line = {"Amount": 9.99, "DetailType": "AccountBasedExpenseLineDetail", "AccountBasedExpenseLineDetail": detail}
    ours = {"VendorRef": {"value": b.vendor}, "Line": [line], "DocNumber": "R-7", "DueDate": "2030-01-31"}
    spent = made(detailline.AccountBasedExpenseLineDetail, AccountRef=made(Ref, value=b.account))
    theirs = made(
        Bill,
        VendorRef=made(Ref, value=b.vendor),
        DocNumber="R-7",
        DueDate="2030-01-31",
        Line=[made(detailline.AccountBasedExpenseLine, Amount=9.99, AccountBasedExpenseLineDetail=spent)],
    )
    return ours, lambda: theirs.save(qb=b.qb)


def query(b: Books) -> tuple[dict[str, Any], Any]:
    statement = r"select * from Customer where DisplayName = 'Ana O\'Neil' maxresults 5"
    url = f"{b.qb.api_url}/company/{REALM_ID}/query"
    return {"query": statement}, lambda: b.qb.get(url, params={"query": statement})


def report(name: str, **asked: str) -> Callable[[Books], tuple[dict[str, Any], Any]]:
    return lambda b: (asked, lambda: b.qb.get_report(name, dict(asked)))


CASES: dict[str, Callable[[Books], tuple[dict[str, Any], Any]]] = {
    "quickbooks_create_customer": create_customer,
    "quickbooks_update_customer": update_customer,
    "quickbooks_get_customer": lambda b: ({"customerId": b.customer.Id}, lambda: Customer.get(b.customer.Id, qb=b.qb)),
    "quickbooks_query": query,
    "quickbooks_query_customers": query,
    "quickbooks_create_invoice": create_invoice,
    "quickbooks_update_invoice": update_invoice,
    "quickbooks_void_invoice": void_invoice,
    "quickbooks_get_invoice": lambda b: ({"invoiceId": b.invoice.Id}, lambda: Invoice.get(b.invoice.Id, qb=b.qb)),
    "quickbooks_send_invoice": lambda b: (
        {"invoiceId": b.invoice.Id, "sendTo": "ana+books@x.co"},
        lambda: b.invoice.send(qb=b.qb, send_to="ana+books@x.co"),
    ),
    "quickbooks_create_payment": create_payment,
    "quickbooks_create_bill": create_bill,
    "quickbooks_profit_and_loss": report("ProfitAndLoss", start_date="2030-01-01", end_date="2030-01-31"),
    "quickbooks_balance_sheet": report("BalanceSheet", date_macro="This Month", accounting_method="Accrual"),
    "quickbooks_aged_receivables": report("AgedReceivables", report_date="2030-01-31"),
    "quickbooks_get_company": lambda b: ({}, lambda: CompanyInfo.get(REALM_ID, qb=b.qb)),
}


def test_every_tool_is_compared() -> None:
    assert {name for name, tool in TOOLS.items() if tool.vendor == "quickbooks"} == CASES.keys()


@pytest.mark.parametrize("tool", CASES)
def test_our_requests_equal_the_sdks(both: SideBySide, books: Books, tool: str) -> None:
    """Bodies are compared without the SDK's own defaults. A second update must name the SyncToken the first one made."""
    arguments, theirs = CASES[tool](books)
    ours = both.ours(tool, **arguments)
    theirs()
    assert same_version(plain(ours)) == same_version(plain(both.theirs()))


def plain(seen: Seen) -> Seen:
    return replace(seen, body=bare(seen.body))


def same_version(seen: Seen) -> Seen:
    return replace(seen, body=seen.body | {"SyncToken": "n"} if "SyncToken" in (seen.body or {}) else seen.body)


def test_a_key_is_sent_as_the_sdk_sends_its_request_id(both: SideBySide, books: Books) -> None:
    key = call_id()
    ours = both.ours("quickbooks_create_payment", key=key, **create_payment(books)[0])
    theirs = a_payment(books.invoice, books.customer, 1)
    theirs.save(qb=books.qb, request_id=key)
    assert ours.query == both.theirs().query
    keyed = [tool for tool in CASES if TOOLS[tool].effect == "keyed"]
    assert len(keyed) == 8
    for tool in keyed:
        key = call_id()
        arguments, _ = CASES[tool](books)
        both.call(tool, key=key, **arguments)
        assert ("requestid", key) in both.theirs().query, tool


def test_a_query_says_what_the_sdk_posts(both: SideBySide, books: Books) -> None:
    """Intuit takes statements both ways. Ours is a GET, because a query changes nothing and may be repeated."""
    arguments, _ = query(books)
    ours = both.ours("quickbooks_query", **arguments)
    books.qb.query(arguments["query"])
    theirs = both.theirs()
    assert (ours.method, theirs.method) == ("GET", "POST")
    assert theirs.body.decode() == arguments["query"] == dict(ours.query)["query"]
    assert ours.path == theirs.path


def test_vendors_items_and_accounts_are_found_by_query(both: SideBySide, books: Books) -> None:
    for statement, entity in (
        ("select * from Vendor where DisplayName = 'Paper Ltd'", "Vendor"),
        ("select * from Item where Name = 'Services'", "Item"),
        ("select * from Account where Name = 'Checking'", "Account"),
    ):
        found = both.call("quickbooks_query", query=statement).result
        assert len(found["QueryResponse"][entity]) == 1


def test_an_invoice_is_sent_with_the_type_intuit_wants(both: SideBySide) -> None:
    prepared = prepare(TOOLS["quickbooks_send_invoice"], {"invoiceId": "1"}, both.secrets)
    assert ("Content-Type", "application/octet-stream") in prepared.headers
    assert prepared.body == b""


def test_another_minor_version_is_a_setting(both: SideBySide) -> None:
    both.secrets._values["QUICKBOOKS_MINOR_VERSION"] = "80"  # type: ignore[index]
    assert both.ours("quickbooks_get_company").query == (("minorversion", "80"),)


@pytest.mark.parametrize("status", [200, 400])
def test_a_fault_comes_back_short_and_exact(both: SideBySide, books: Books, status: int) -> None:
    if status == 200:
        both.fault(kind="failed_200", method="POST")
        meaning = both.call("quickbooks_create_customer", DisplayName="Bo")
        said = "A business validation error has occurred while processing your request · Business Validation Error: injected fault · 6000"
        assert meaning.error == {"code": "tool.vendor_refused", "message": said, "status": 200}
    else:
        meaning = both.call("quickbooks_create_customer", DisplayName="ana o'neil")
        said = "Duplicate Name Exists Error · The name supplied already exists. : Id=1 · 6240"
        assert meaning.error == {"code": "http.400", "message": said, "status": 400}
    assert meaning.state == "failed"


def test_what_the_gate_before_quickbooks_says_is_read_too(both: SideBySide) -> None:
    both.control("oauth", expire=True)
    meaning = both.call("quickbooks_get_company")
    assert meaning.error is not None
    assert meaning.error["message"].endswith("statusCode=401 · Token expired · 3200")
    both.secrets._values["QUICKBOOKS_REALM_ID"] = "../customer"  # type: ignore[index]
    both.call("quickbooks_get_company")
    assert both.theirs().path.startswith("/v3/company/..%2Fcustomer/"), "a setting cannot climb out of its segment"


def test_statements_that_are_none_are_refused_before_they_leave() -> None:
    assert TOOLS["quickbooks_query"].problem_with({"query": "delete from Customer"})
    assert TOOLS["quickbooks_query_customers"].problem_with({"query": "select * from Invoice"})
    assert TOOLS["quickbooks_update_customer"].problem_with({"Id": "1", "SyncToken": "0", "sparse": False})
