"""python-quickbooks aimed at the emulator, and the objects its tests make with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import intuitlib.config
    from intuitlib.client import AuthClient
    from quickbooks import QuickBooks as Sdk
    from quickbooks.objects.account import Account
    from quickbooks.objects.bill import Bill
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.detailline import (
        AccountBasedExpenseLine,
        AccountBasedExpenseLineDetail,
        SalesItemLine,
        SalesItemLineDetail,
    )
    from quickbooks.objects.invoice import Invoice
    from quickbooks.objects.item import Item
    from quickbooks.objects.payment import Payment, PaymentLine
    from quickbooks.objects.vendor import Vendor

from sandbox.vendors.quickbooks import CLIENT_ID, CLIENT_SECRET, REALM_ID, REFRESH_TOKEN, QuickBooks
from tests.contract.emulators import Served


@pytest.fixture(name="served")
def quickbooks_served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    made = Served(QuickBooks())
    aim(monkeypatch, made.url)
    yield made
    made.close()


def aim(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Both of Intuit's libraries talk to this emulator for the rest of the test."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(Sdk, "sandbox_api_url_v3", f"{url}/v3")
    monkeypatch.setitem(intuitlib.config.DISCOVERY_URL, "sandbox", f"{url}/.well-known/openid_sandbox_configuration/")


def auth(secret: str = CLIENT_SECRET, **more: str) -> Any:
    return AuthClient(CLIENT_ID, secret, "http://localhost/back", "sandbox", **more)


def connect(client: Any = None, company: str = REALM_ID, refresh_token: str = REFRESH_TOKEN) -> Any:
    return Sdk(auth_client=client or auth(), refresh_token=refresh_token, company_id=company, minorversion=75)


def new_customer(qb: Any, name: str, **more: Any) -> Any:
    made = Customer()
    made.DisplayName = name
    for key, value in more.items():
        setattr(made, key, value)
    return made.save(qb=qb)


def an_invoice(customer: Any, amount: Any, qb: Any, number: str | None = None, due: str = "") -> Any:
    line = SalesItemLine()
    line.Amount = amount
    line.SalesItemLineDetail = SalesItemLineDetail()
    line.SalesItemLineDetail.ItemRef = Item.filter(Name="Services", qb=qb)[0].to_ref()
    made = Invoice()
    made.CustomerRef = customer.to_ref()
    made.Line, made.DocNumber, made.DueDate = [line], number, due
    return made


def a_payment(invoice: Any, customer: Any, amount: Any) -> Any:
    line = PaymentLine()
    line.Amount, line.LinkedTxn = amount, [invoice.to_linked_txn()]
    made = Payment()
    made.CustomerRef, made.TotalAmt, made.Line = customer.to_ref(), amount, [line]
    return made


def new_bill(qb: Any, amount: Any) -> Any:
    vendor = Vendor()
    vendor.DisplayName = "Paper Ltd"
    line = AccountBasedExpenseLine()
    line.Amount = amount
    line.AccountBasedExpenseLineDetail = AccountBasedExpenseLineDetail()
    line.AccountBasedExpenseLineDetail.AccountRef = Account.filter(Name="Office Expenses", qb=qb)[0].to_ref()
    made = Bill()
    made.VendorRef, made.Line = vendor.save(qb=qb).to_ref(), [line]
    return made.save(qb=qb)
