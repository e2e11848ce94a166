"""What QuickBooks refuses and how it says so: the codes of its Faults, checks of single values, the accounts there are."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Row = dict[str, Any]
CENT = Decimal("0.01")
MESSAGES = {
    "500": "Unsupported Operation",
    "610": "Object Not Found",
    "2010": "Request has invalid or unsupported property",
    "2020": "Required param missing, need to supply the required value for the API",
    "2050": "String length specified does not match the supported length",
    "2170": "Invalid Enumeration",
    "2210": "Invalid Email Address format",
    "2500": "Invalid Reference Id",
    "4000": "Error parsing query",
    "4001": "Invalid query",
    "5010": "Stale Object Error",
    "6000": "A business validation error has occurred while processing your request",
    "6070": "Amount calculation incorrect in the request",
    "6140": "Duplicate Document Number Error",
    "6240": "Duplicate Name Exists Error",
}
INACTIVE = (
    "Object Not Found : Something you're trying to use has been made inactive. "
    "Check the fields with accounts, customers, items, vendors or employees."
)
STALE = (
    "Stale Object Error : You and another user were working on this at the same time. "
    "The other user finished before you did, so your work was not saved."
)
TAKEN = "Duplicate Document Number Error : You must specify a different number. This number has already been used. "
MISCOUNTED = "Amount calculation incorrect in the request: Amount is not equal to UnitPrice * Qty. Supplied value:"
REQUIRED = {
    "Invoice": ("CustomerRef", "Line"),
    "Payment": ("CustomerRef", "TotalAmt"),
    "Bill": ("VendorRef", "Line"),
    "Item": ("Name", "Type"),
    "Account": ("Name", "AccountType"),
}
# where a reference may stand, what it points at, and what Intuit calls that in its complaint
REFERENCES = {
    "CustomerRef": ("Customer", "Names"),
    "VendorRef": ("Vendor", "Names"),
    "ItemRef": ("Item", "Items"),
    "AccountRef": ("Account", "Accounts"),
    "IncomeAccountRef": ("Account", "Accounts"),
    "ExpenseAccountRef": ("Account", "Accounts"),
    "AssetAccountRef": ("Account", "Accounts"),
    "DepositToAccountRef": ("Account", "Accounts"),
    "APAccountRef": ("Account", "Accounts"),
}
CLASSES = {
    "Bank": "Asset",
    "Accounts Receivable": "Asset",
    "Other Current Asset": "Asset",
    "Fixed Asset": "Asset",
    "Other Asset": "Asset",
    "Accounts Payable": "Liability",
    "Credit Card": "Liability",
    "Other Current Liability": "Liability",
    "Long Term Liability": "Liability",
    "Equity": "Equity",
    "Income": "Revenue",
    "Other Income": "Revenue",
    "Cost of Goods Sold": "Expense",
    "Expense": "Expense",
    "Other Expense": "Expense",
}
SEEDED = (
    ("Services", "Income"),
    ("Sales of Product Income", "Income"),
    ("Discounts given", "Income"),
    ("Checking", "Bank"),
    ("Accounts Receivable (A/R)", "Accounts Receivable"),
    ("Undeposited Funds", "Other Current Asset"),
    ("Inventory Asset", "Other Current Asset"),
    ("Accounts Payable (A/P)", "Accounts Payable"),
    ("Sales Tax Payable", "Other Current Liability"),
    ("Retained Earnings", "Equity"),
    ("Cost of Goods Sold", "Cost of Goods Sold"),
    ("Office Expenses", "Expense"),
    ("Software", "Expense"),
)
LINES = {
    "Invoice": ("SalesItemLineDetail", "DiscountLineDetail", "DescriptionOnly", "SubTotalLineDetail"),
    "Bill": ("AccountBasedExpenseLineDetail", "ItemBasedExpenseLineDetail"),
}
OBJECTS = ("Ref", "Detail", "Addr", "Phone", "Email")
LISTS = ("Line", "LinkedTxn")
TEXTS = (
    "Id",
    "SyncToken",
    "DisplayName",
    "Name",
    "DocNumber",
    "Type",
    "AccountType",
    "DetailType",
    "TxnType",
    "TxnId",
    "value",
    "Address",
    "TxnDate",
    "DueDate",
    "Amount",
    "TotalAmt",
    "PrintOnCheckName",
    "Active",
)
EMAIL = re.compile(r"^[^@\s,]+@[^@\s,]+\.[^@\s,]+$")


class Refused(Exception):
    """A request that Intuit answers with a Fault."""

    def __init__(self, code: str, detail: str, element: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail, self.element = code, detail, element

    @property
    def message(self) -> str:
        return MESSAGES[self.code]


def moment() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clean(value: Any) -> Any:
    """Without what is empty: the SDKs send every field there is."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items() if v not in ("", None)}
    return [clean(v) for v in value] if isinstance(value, list) else value


def voided(line: Row) -> Row:
    kind = line["DetailType"]
    return line | {
        "Amount": Decimal(0),
        kind: line.get(kind, {}) | ({"Qty": 0} if kind == "SalesItemLineDetail" else {}),
    }


def number(value: Any) -> Decimal:
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite():
        raise Refused("2010", f"Property Name:Can not construct instance of java.math.BigDecimal from value '{value}'")
    return read


def money(value: Any) -> Decimal:
    return number(value).quantize(CENT, ROUND_HALF_UP)


def day(name: str, text: str) -> str:
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        text = f"Property Name:Can not construct instance of java.util.Date from String value '{text}'"
        raise Refused("2010", text, name) from None


def length(text: str, most: int, name: str) -> None:
    if len(text) > most:
        raise Refused(
            "2050", f"String length is either shorter or longer than supported by specification : Max {most}", name
        )


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Refused("2170", f"Invalid Enumeration : {name} {value} is not one of {', '.join(allowed)}", name)


def check_email(address: str) -> None:
    if not EMAIL.match(address):
        raise Refused("2210", "Email Address does not conform to the RFC 822 standard.", "Address")


def dollars() -> Row:
    return {"value": "USD", "name": "United States Dollar"}


def check_shape(part: Row) -> None:
    """Objects, lists of objects and plain values must each stand where Intuit's names say they do."""
    for name, value in part.items():
        if name in LISTS:
            fits = isinstance(value, list) and all(isinstance(inner, dict) for inner in value)
        elif name.endswith(OBJECTS):
            fits = isinstance(value, dict)
        else:
            fits = not isinstance(value, (dict, list)) or name not in TEXTS
        if not fits:
            raise Refused("2010", f"Property Name:Can not deserialize instance of {name} out of the given token", name)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                check_shape(inner)
