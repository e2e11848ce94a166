"""QuickBooks' query language: select … from … where … orderby … startposition … maxresults. No OR, no joins, no "!=".

A statement is read into a `Query`, which then picks from the rows of one entity. Comparison ignores case, as Intuit's does;
inactive names appear only when the statement speaks of Active.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.vendors.quickbooks_rules import Refused

COMMON = {"Id", "SyncToken", "MetaData.CreateTime", "MetaData.LastUpdatedTime"}
NAMES = COMMON | {
    "DisplayName",
    "GivenName",
    "MiddleName",
    "FamilyName",
    "CompanyName",
    "PrintOnCheckName",
    "Active",
    "Balance",
    "PrimaryEmailAddr",
    "PrimaryPhone",
}
SALES = COMMON | {"DocNumber", "TxnDate", "TotalAmt", "PrivateNote"}
FIELDS = {
    "Customer": NAMES | {"FullyQualifiedName", "Notes"},
    "Vendor": NAMES | {"AcctNum"},
    "Item": COMMON | {"Name", "FullyQualifiedName", "Type", "Active", "UnitPrice", "Sku", "Description"},
    "Account": COMMON
    | {
        "Name",
        "FullyQualifiedName",
        "AccountType",
        "AccountSubType",
        "Classification",
        "Active",
        "CurrentBalance",
        "AcctNum",
    },
    "Invoice": SALES | {"DueDate", "CustomerRef", "Balance", "EmailStatus", "BillEmail"},
    "Payment": COMMON | {"TxnDate", "TotalAmt", "UnappliedAmt", "CustomerRef", "PaymentRefNum", "PrivateNote"},
    "Bill": SALES | {"DueDate", "VendorRef", "Balance"},
    "CompanyInfo": COMMON | {"CompanyName", "LegalName", "Country"},
}
TOKEN = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|(<=|>=|[=<>(),*])|([A-Za-z_][\w.]*)|(-?\d+(?:\.\d+)?))")
MOST = 1000


@dataclass(frozen=True)
class Condition:
    """One comparison of the where clause."""

    name: str
    operator: str
    values: tuple[str, ...]

    def holds(self, row: dict[str, Any]) -> bool:
        has = value_of(row, self.name)
        if has is None:
            return False
        if self.operator == "LIKE":
            pattern = ".*".join(re.escape(part) for part in self.values[0].split("%"))
            return re.fullmatch(pattern, str(has), re.IGNORECASE | re.DOTALL) is not None
        if self.operator == "IN":
            return any(_comparable(has, value) == 0 for value in self.values)
        order = _comparable(has, self.values[0])
        return {"=": order == 0, "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[self.operator]


@dataclass
class Query:
    """A statement that was understood."""

    entity: str
    shown: list[str]
    counts: bool = False
    where: list[Condition] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    start: int = 1
    most: int = 100

    def matching(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Every row the where clause lets through, in order."""
        asks_active = any(condition.name == "Active" for condition in self.where)
        found = [
            row
            for row in rows
            if (asks_active or row.get("Active", True)) and all(condition.holds(row) for condition in self.where)
        ]
        found.sort(key=lambda row: int(row["Id"]))
        for name, descending in reversed(self.order):
            found.sort(key=lambda row: _sortable(value_of(row, name)), reverse=descending)
        return found

    def page(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The asked part of what matched, with the asked fields."""
        part = found[self.start - 1 : self.start - 1 + self.most]
        if "*" in self.shown:
            return part
        top = {"Id", *(name.partition(".")[0] for name in self.shown)}
        return [{name: value for name, value in row.items() if name in top} for row in part]


def value_of(row: dict[str, Any], name: str) -> Any:
    """What a name means in a row: a reference is its id, an address or telephone its text."""
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = next((value[key] for key in ("value", "Address", "FreeFormNumber") if key in value), None)
    return value


def _comparable(has: Any, wanted: str) -> int:
    """Less than, equal or greater (-1, 0, 1), by the kind of what the row has."""
    left: Any = str(has).lower()
    right: Any = wanted.lower()
    if isinstance(has, (int, float, Decimal)) and not isinstance(has, bool):
        try:
            left, right = Decimal(str(has)), Decimal(wanted)
        except ArithmeticError:
            raise Refused("4001", f"QueryValidationError: value {wanted} is not a number") from None
    elif isinstance(has, str) and re.match(r"\d{4}-\d\d-\d\dT", has):
        try:
            left, right = _moment(has), _moment(wanted)
        except ValueError:
            raise Refused("4001", f"QueryValidationError: value {wanted} is not a date") from None
    return 1 if left > right else -1 if left < right else 0


def _moment(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _sortable(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    if isinstance(value, (int, float, Decimal)):
        return 1, Decimal(str(value))
    text = str(value)
    return (1, Decimal(text)) if text.isdigit() else (2, text.lower())


class Parser:
    """Reads one statement. Words are free of case; names of entities and fields are corrected to Intuit's spelling."""

    def __init__(self, statement: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        text = statement.strip().rstrip(";").rstrip()
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                raise Refused(
                    "4000", f"QueryParserError: Encountered: {text[place : place + 20]!r} at column {place + 1}"
                )
            quoted, sign, word, number = match.groups()
            if quoted is not None:
                self.tokens.append(("value", re.sub(r"\\(.)", r"\1", quoted)))
            elif word is not None:
                self.tokens.append(("word", word))
            else:
                self.tokens.append(("sign", sign) if sign else ("number", number))
            place = match.end()

    def read(self) -> Query:
        self._need("SELECT")
        counts, names = self._selection()
        self._need("FROM")
        given = self._take("word")
        entity = next((name for name in FIELDS if name.lower() == given.lower()), None)
        if entity is None:
            raise Refused("4001", f"QueryValidationError: Invalid context declaration: {given}")
        query = Query(entity, [name if name == "*" else _field(entity, name) for name in names], counts)
        if self._word("WHERE"):
            query.where.append(self._condition(entity))
            while self._word("AND"):
                query.where.append(self._condition(entity))
        if self._word("ORDERBY") or (self._word("ORDER") and self._need("BY")):
            query.order.append(self._order(entity))
            while self._sign(","):
                query.order.append(self._order(entity))
        if self._word("STARTPOSITION"):
            query.start = self._number("STARTPOSITION", None)
        if self._word("MAXRESULTS"):
            query.most = self._number("MAXRESULTS", MOST)
        if self.tokens:
            raise self._unexpected()
        return query

    def _selection(self) -> tuple[bool, list[str]]:
        if self._word("COUNT"):
            for sign in "(*)":
                if not self._sign(sign):
                    raise self._unexpected()
            return True, ["*"]
        names = []
        while True:
            names.append("*" if self._sign("*") else self._take("word"))
            if not self._sign(","):
                return False, names

    def _condition(self, entity: str) -> Condition:
        name = _field(entity, self._take("word"))
        if self._word("LIKE"):
            return Condition(name, "LIKE", (self._take("value"),))
        if self._word("IN"):
            if not self._sign("("):
                raise self._unexpected()
            values = [self._value()]
            while self._sign(","):
                values.append(self._value())
            if not self._sign(")"):
                raise self._unexpected()
            return Condition(name, "IN", tuple(values))
        for operator in ("=", "<=", ">=", "<", ">"):
            if self._sign(operator):
                return Condition(name, operator, (self._value(),))
        raise self._unexpected()

    def _order(self, entity: str) -> tuple[str, bool]:
        name = _field(entity, self._take("word"))
        descending = self._word("DESC")
        if not descending:
            self._word("ASC")
        return name, descending

    def _value(self) -> str:
        kind, text = self.tokens[0] if self.tokens else ("end", "")
        if kind in ("value", "number") or (kind == "word" and text.lower() in ("true", "false")):
            self.tokens.pop(0)
            return text
        raise self._unexpected()

    def _number(self, word: str, most: int | None) -> int:
        kind, text = self.tokens.pop(0) if self.tokens else ("end", "")
        if kind not in ("number", "value") or not text.isdigit() or int(text) < 1:
            raise Refused("4001", f"QueryValidationError: value {text!r} of {word} is not a positive number")
        if most is not None and int(text) > most:
            raise Refused("4001", f"QueryValidationError: value {text} is too large. Max allowed value is {most}.")
        return int(text)

    def _need(self, word: str) -> bool:
        if not self._word(word):
            raise self._unexpected()
        return True

    def _word(self, word: str) -> bool:
        return self._accept("word", word)

    def _sign(self, sign: str) -> bool:
        return self._accept("sign", sign)

    def _accept(self, kind: str, text: str) -> bool:
        if self.tokens and self.tokens[0][0] == kind and self.tokens[0][1].upper() == text:
            self.tokens.pop(0)
            return True
        return False

    def _take(self, kind: str) -> str:
        if not self.tokens or self.tokens[0][0] != kind:
            raise self._unexpected()
        return self.tokens.pop(0)[1]

    def _unexpected(self) -> Refused:
        found = repr(self.tokens[0][1]) if self.tokens else "<EOF>"
        return Refused("4000", f"QueryParserError: Encountered {found} where the statement does not allow it")


def _field(entity: str, given: str) -> str:
    name = next((name for name in FIELDS[entity] if name.lower() == given.lower()), None)
    if name is None:
        raise Refused("4001", f"QueryValidationError: Property {given} not found for Entity {entity}")
    return name
