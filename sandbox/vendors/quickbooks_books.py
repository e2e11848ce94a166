"""The books of one QuickBooks company: names, sales, payments, bills, and the ledger they add up to."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.vendors import quickbooks_rules as rules
from sandbox.vendors.quickbooks_rules import CENT, CLASSES, INACTIVE, LINES, REFERENCES, REQUIRED, SEEDED, Refused, Row

ENTITIES = ("Account", "Bill", "Customer", "Invoice", "Item", "Payment", "Vendor")
TRANSACTIONS = ("Invoice", "Payment", "Bill")
READ_ONLY = {
    "Id",
    "SyncToken",
    "MetaData",
    "domain",
    "sparse",
    "Balance",
    "BalanceWithJobs",
    "CurrentBalance",
    "Level",
    "CurrentBalanceWithSubAccounts",
    "FullyQualifiedName",
    "UnappliedAmt",
    "HomeBalance",
    "HomeTotalAmt",
    "LinkedTxn",
    "EmailStatus",
    "DeliveryInfo",
    "Classification",
    "status",
}


class Books:
    """One company. Every method either changes the books completely or raises `Refused`."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Row]] = {entity: {} for entity in ENTITIES}
        self._next: collections.Counter[str] = collections.Counter()
        self._number = 1001
        self.accounts: dict[str, str] = {}
        for name, kind in SEEDED:
            self.accounts[name] = self.create("Account", {"Name": name, "AccountType": kind})["Id"]
        income = {"IncomeAccountRef": {"value": self.accounts["Services"]}}
        self.create("Item", {"Name": "Services", "Type": "Service", **income})
        self.create("Item", {"Name": "Hours", "Type": "Service", "UnitPrice": Decimal(100), **income})

    # -- operations --------------------------------------------------------------------------------------------------

    def find(self, entity: str, key: Any) -> Row:
        row = self.rows[entity].get(str(key))
        if row is None:
            raise Refused("610", INACTIVE)
        return row

    def create(self, entity: str, given: Row, *, again: bool = False) -> Row:
        """`again` allows a document number that is in use."""
        row = self._checked(entity, rules.clean({k: v for k, v in given.items() if k not in READ_ONLY}), None, again)
        counter = "transaction" if entity in TRANSACTIONS else entity
        self._next[counter] += 1
        now = rules.moment()
        row |= {
            "Id": str(self._next[counter]),
            "SyncToken": "0",
            "domain": "QBO",
            "sparse": False,
            "MetaData": {"CreateTime": now, "LastUpdatedTime": now},
        }
        self.rows[entity][row["Id"]] = row
        return row

    def update(self, entity: str, given: Row, *, again: bool = False) -> Row:
        """Sparse keeps what is not given; a full update empties it."""
        old = self._current(entity, given)
        kept = {k: v for k, v in old.items() if given.get("sparse") in (True, "true") or k in READ_ONLY}
        emptied = {k for k, v in given.items() if v in ("", None)}
        asked = {k: v for k, v in given.items() if k not in READ_ONLY}
        row = rules.clean({k: v for k, v in kept.items() if k not in emptied} | asked)
        row = self._checked(entity, row, old, again)
        if entity not in TRANSACTIONS and old.get("Active", True) and not row.get("Active", True):
            name = "DisplayName" if entity in ("Customer", "Vendor") else "Name"
            row[name] = row["FullyQualifiedName"] = f"{row[name]} (deleted)"
        return self._touch(entity, old, row)

    def delete(self, entity: str, given: Row) -> Row:
        if entity not in TRANSACTIONS:
            raise Refused("500", f"Operation delete is not supported for {entity}; set Active to false.")
        old = self._current(entity, given)
        del self.rows[entity][old["Id"]]
        if entity == "Invoice":
            self._unlink(old["Id"])
        return {"status": "Deleted", "domain": "QBO", "Id": old["Id"]}

    def void(self, entity: str, given: Row) -> Row:
        """The transaction stays, worth nothing; payments of a voided invoice become unapplied."""
        if entity not in ("Invoice", "Payment"):
            raise Refused("500", f"Operation void is not supported for {entity}.")
        old = self._current(entity, given)
        row = dict(old) | {"PrivateNote": "Voided", "TotalAmt": Decimal(0)}
        row.pop("TxnTaxDetail", None)
        row["Line"] = [rules.voided(line) for line in old["Line"]] if entity == "Invoice" else []
        if entity == "Invoice":
            self._unlink(old["Id"])
        return self._touch(entity, old, row)

    def send(self, key: str, to: str | None) -> Row:
        old = self.find("Invoice", key)
        address = to or old.get("BillEmail", {}).get("Address")
        if not address:
            raise Refused("2020", "Required parameter BillEmail is missing in the request", "BillEmail")
        rules.check_email(address)
        delivery = {"DeliveryType": "Email", "DeliveryTime": rules.moment()}
        sent = {"EmailStatus": "EmailSent", "BillEmail": {"Address": address}, "DeliveryInfo": delivery}
        return self._touch("Invoice", old, dict(old) | sent)

    def shown(self, entity: str, row: Row) -> Row:
        """A row as Intuit shows it, with what follows from other rows."""
        made = dict(row)
        if entity == "Invoice":
            links = [{"TxnId": p["Id"], "TxnType": "Payment"} for p, _ in self.payments_of(row["Id"])]
            made |= {"Balance": self.balance(row), "LinkedTxn": links}
        elif entity == "Payment":
            made["UnappliedAmt"] = row["TotalAmt"] - sum((line["Amount"] for line in row["Line"]), Decimal(0))
        elif entity == "Bill":
            made["Balance"] = row["TotalAmt"]
        elif entity == "Customer":
            owed = sum((i["TotalAmt"] for i in self._of("Invoice", "CustomerRef", row)), Decimal(0))
            owed -= sum((p["TotalAmt"] for p in self._of("Payment", "CustomerRef", row)), Decimal(0))
            made |= {"Balance": owed, "BalanceWithJobs": owed}
        elif entity == "Vendor":
            made["Balance"] = sum((b["TotalAmt"] for b in self._of("Bill", "VendorRef", row)), Decimal(0))
        elif entity == "Account":
            debit = sum((amount for _, account, amount in self.postings() if account == row["Id"]), Decimal(0))
            made["CurrentBalance"] = debit if row["Classification"] in ("Asset", "Expense") else -debit
        return made

    def balance(self, invoice: Row) -> Decimal:
        """What is still owed on an invoice."""
        paid: Decimal = sum((amount for _, amount in self.payments_of(invoice["Id"])), Decimal(0))
        return Decimal(invoice["TotalAmt"]) - paid

    def payments_of(self, invoice: str) -> Iterator[tuple[Row, Decimal]]:
        for payment in self.rows["Payment"].values():
            for line in payment["Line"]:
                if any(link["TxnId"] == invoice and link["TxnType"] == "Invoice" for link in line["LinkedTxn"]):
                    yield payment, line["Amount"]

    def postings(self) -> Iterator[tuple[str, str, Decimal]]:
        """(date, account id, amount) of the whole ledger; debits are positive. Accrual."""
        for invoice in self.rows["Invoice"].values():
            day, total = invoice["TxnDate"], Decimal(invoice["TotalAmt"])
            yield day, self.accounts["Accounts Receivable (A/R)"], total
            for line in invoice["Line"]:
                if line["DetailType"] == "SalesItemLineDetail":
                    item = self.rows["Item"][line["SalesItemLineDetail"]["ItemRef"]["value"]]
                    yield day, item["IncomeAccountRef"]["value"], -line["Amount"]
                elif line["DetailType"] == "DiscountLineDetail":
                    yield day, self.accounts["Discounts given"], line["Amount"]
            yield (
                day,
                self.accounts["Sales Tax Payable"],
                -rules.money(invoice.get("TxnTaxDetail", {}).get("TotalTax", 0)),
            )
        for payment in self.rows["Payment"].values():
            yield payment["TxnDate"], payment["DepositToAccountRef"]["value"], payment["TotalAmt"]
            yield payment["TxnDate"], self.accounts["Accounts Receivable (A/R)"], -payment["TotalAmt"]
        for bill in self.rows["Bill"].values():
            yield bill["TxnDate"], bill["APAccountRef"]["value"], -bill["TotalAmt"]
            for line in bill["Line"]:
                yield bill["TxnDate"], self._expense_account(line), line["Amount"]

    # -- rules -------------------------------------------------------------------------------------------------------

    def _current(self, entity: str, given: Row) -> Row:
        for name in ("Id", "SyncToken"):
            if given.get(name) in (None, ""):
                raise Refused("2020", f"Required parameter {name} is missing in the request", name)
        old = self.find(entity, given["Id"])
        if str(given["SyncToken"]) != old["SyncToken"]:
            raise Refused("5010", rules.STALE)
        return old

    def _touch(self, entity: str, old: Row, row: Row) -> Row:
        times = {"CreateTime": old["MetaData"]["CreateTime"], "LastUpdatedTime": rules.moment()}
        row |= {
            "Id": old["Id"],
            "SyncToken": str(int(old["SyncToken"]) + 1),
            "MetaData": times,
            "domain": "QBO",
            "sparse": False,
        }
        self.rows[entity][old["Id"]] = row
        return row

    def _checked(self, entity: str, row: Row, old: Row | None, again: bool) -> Row:
        for name in REQUIRED.get(entity, ()):
            if row.get(name) in (None, "", []):
                raise Refused("2020", f"Required parameter {name} is missing in the request", name)
        rules.check_shape(row)
        self._resolve(row)
        if entity in TRANSACTIONS:
            self._dates(row)
        own = old["Id"] if old else None
        match entity:
            case "Customer" | "Vendor":
                self._name(entity, row, own)
            case "Item" | "Account":
                self._listed(entity, row, own)
            case "Invoice":
                self._invoice(row, own, again)
            case "Payment":
                self._payment(row, own)
            case _:
                self._bill(row)
        return row

    def _resolve(self, part: Any) -> None:
        """Every reference must point at something active; its name is filled in."""
        for key, value in part.items() if isinstance(part, dict) else ():
            if key in REFERENCES:
                target, called = REFERENCES[key]
                wanted = str(value.get("value", ""))
                found = self.rows[target].get(wanted)
                if found is None:
                    raise Refused("2500", f"Invalid Reference Id : {called} element id {wanted} not found", key)
                if not found.get("Active", True):
                    raise Refused("610", INACTIVE, key)
                part[key] = {"value": wanted, "name": found.get("DisplayName") or found["Name"]}
            elif key in ("BillEmail", "PrimaryEmailAddr"):
                rules.check_email(str(value.get("Address", "")))
            else:
                for inner in value if isinstance(value, list) else [value]:
                    self._resolve(inner)

    def _name(self, entity: str, row: Row, own: str | None) -> None:
        parts = [row[name] for name in ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix") if row.get(name)]
        name = str(row.get("DisplayName") or " ".join(parts)).strip()
        if not name:
            raise Refused("2020", "Required parameter DisplayName is missing in the request", "DisplayName")
        rules.length(name, 500, "DisplayName")
        for kind in ("Customer", "Vendor"):
            self._unique(kind, "DisplayName", name, own if kind == entity else None)
        row |= {
            "DisplayName": name,
            "PrintOnCheckName": row.get("PrintOnCheckName") or name,
            "Active": row.get("Active", True),
            "CurrencyRef": rules.dollars(),
        }
        if entity == "Customer":
            row |= {"FullyQualifiedName": name, "Job": row.get("Job", False), "Taxable": row.get("Taxable", True)}

    def _listed(self, entity: str, row: Row, own: str | None) -> None:
        row["Name"] = str(row["Name"])
        rules.length(row["Name"], 100, "Name")
        self._unique(entity, "Name", row["Name"], own)
        row |= {"FullyQualifiedName": row["Name"], "Active": row.get("Active", True)}
        if entity == "Account":
            rules.one_of("AccountType", row["AccountType"], tuple(CLASSES))
            row |= {"Classification": CLASSES[row["AccountType"]], "SubAccount": False, "CurrencyRef": rules.dollars()}
            return
        rules.one_of("Type", row["Type"], ("Inventory", "NonInventory", "Service"))
        needs = (
            ("AssetAccountRef", "ExpenseAccountRef", "QtyOnHand", "InvStartDate") if row["Type"] == "Inventory" else ()
        )
        for name in ("IncomeAccountRef", *needs):
            if row.get(name) is None:
                raise Refused("2020", f"Required parameter {name} is missing in the request", name)
        row["UnitPrice"] = rules.money(row.get("UnitPrice", 0))

    def _invoice(self, row: Row, own: str | None, again: bool) -> None:
        lines = self._lines("Invoice", row)
        before = sum((line["Amount"] for line in lines if line["DetailType"] == "SalesItemLineDetail"), Decimal(0))
        for line in lines:
            detail = line.get("DiscountLineDetail", {})
            if detail.get("PercentBased"):
                line["Amount"] = (before * rules.money(detail.get("DiscountPercent", 0)) / 100).quantize(
                    CENT, ROUND_HALF_UP
                )
        off = sum((line["Amount"] for line in lines if line["DetailType"] == "DiscountLineDetail"), Decimal(0))
        total = before - off + rules.money(row.get("TxnTaxDetail", {}).get("TotalTax", 0))
        if total < 0:
            raise Refused("6000", "Business Validation Error: Transaction amount must be 0 or greater.")
        if own and total < sum((amount for _, amount in self.payments_of(own)), Decimal(0)):
            raise Refused("6000", "Business Validation Error: The amount is less than what has been paid on it.")
        number = str(row.get("DocNumber") or self._free_number())
        rules.length(number, 21, "DocNumber")
        taken = next((i for i in self.rows["Invoice"].values() if i["DocNumber"] == number and i["Id"] != own), None)
        if taken and not again:
            text = f"DocNumber={number} is assigned to TxnType=Invoice with TxnId={taken['Id']}"
            raise Refused("6140", rules.TAKEN + text)
        subtotal: Row = {"Amount": before, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
        due = (date.fromisoformat(row["TxnDate"]) + timedelta(days=30)).isoformat()
        row |= {
            "Line": [*lines, subtotal],
            "TotalAmt": total,
            "DocNumber": number,
            "DueDate": row.get("DueDate", due),
            "EmailStatus": row.get("EmailStatus", "NotSet"),
            "CurrencyRef": rules.dollars(),
        }

    def _payment(self, row: Row, own: str | None) -> None:
        total = rules.money(row["TotalAmt"])
        lines = row.get("Line", [])
        applied: dict[str, Decimal] = collections.defaultdict(Decimal)
        for line in lines:
            line |= {"Amount": rules.money(line.get("Amount", 0)), "LinkedTxn": line.get("LinkedTxn", [])}
            if len(line["LinkedTxn"]) != 1:
                raise Refused("2020", "Required parameter Line.LinkedTxn is missing in the request", "LinkedTxn")
            link = line["LinkedTxn"][0]
            rules.one_of("TxnType", link.get("TxnType"), ("Invoice",))
            link["TxnId"] = str(link.get("TxnId", ""))
            applied[link["TxnId"]] += line["Amount"]
        for key, amount in applied.items():
            self._owes(row, key, amount, own)
        if total < 0 or sum(applied.values()) > total:
            raise Refused("6000", "Business Validation Error: The amount applied is more than the amount received.")
        deposit = row.get("DepositToAccountRef") or {"value": self.accounts["Undeposited Funds"]}
        row |= {"TotalAmt": total, "Line": lines, "DepositToAccountRef": deposit, "CurrencyRef": rules.dollars()}

    def _owes(self, payment: Row, key: str, amount: Decimal, own: str | None) -> None:
        invoice = self.rows["Invoice"].get(key)
        if invoice is None:
            raise Refused("2500", f"Invalid Reference Id : Txn element id {key} not found", "TxnId")
        if invoice["CustomerRef"]["value"] != payment["CustomerRef"]["value"]:
            raise Refused("6000", "Business Validation Error: The linked transaction belongs to another customer.")
        mine = sum((paid for by, paid in self.payments_of(key) if by["Id"] == own), Decimal(0))
        if amount > self.balance(invoice) + mine:
            raise Refused("6000", "Business Validation Error: The payment is more than the balance of the invoice.")

    def _bill(self, row: Row) -> None:
        lines = self._lines("Bill", row)
        total = sum((line["Amount"] for line in lines), Decimal(0))
        if total < 0:
            raise Refused("6000", "Business Validation Error: Transaction amount must be 0 or greater.")
        rules.length(str(row.get("DocNumber", "")), 21, "DocNumber")
        payable = row.get("APAccountRef") or {"value": self.accounts["Accounts Payable (A/P)"]}
        row |= {
            "Line": lines,
            "TotalAmt": total,
            "APAccountRef": payable,
            "CurrencyRef": rules.dollars(),
            "DueDate": row.get("DueDate", row["TxnDate"]),
        }

    def _lines(self, entity: str, row: Row) -> list[Row]:
        lines = [line for line in row.get("Line", []) if line.get("DetailType") != "SubTotalLineDetail"]
        for number, line in enumerate(lines, 1):
            kind = str(line.get("DetailType", ""))
            rules.one_of("DetailType", kind, LINES[entity])
            detail = line.get(kind, {})
            needs = {
                "SalesItemLineDetail": "ItemRef",
                "ItemBasedExpenseLineDetail": "ItemRef",
                "AccountBasedExpenseLineDetail": "AccountRef",
            }.get(kind)
            if needs and needs not in detail:
                raise Refused("2020", f"Required parameter {needs} is missing in the request", needs)
            if needs and "Amount" not in line:
                raise Refused("2020", "Required parameter Line.Amount is missing in the request", "Line.Amount")
            line["Amount"] = rules.money(line.get("Amount", 0))
            price, quantity = (rules.number(detail.get(name, 0)) for name in ("UnitPrice", "Qty"))
            if price and quantity and (price * quantity).quantize(CENT, ROUND_HALF_UP) != line["Amount"]:
                raise Refused("6070", f"{rules.MISCOUNTED}{line['Amount']}")
            line |= {"Id": str(number), "LineNum": number}
        if not lines:
            raise Refused("2020", "Required parameter Line is missing in the request", "Line")
        return lines

    def _expense_account(self, line: Row) -> str:
        if line["DetailType"] == "AccountBasedExpenseLineDetail":
            return str(line["AccountBasedExpenseLineDetail"]["AccountRef"]["value"])
        item = self.rows["Item"][line["ItemBasedExpenseLineDetail"]["ItemRef"]["value"]]
        ref = item.get("AssetAccountRef") or item.get("ExpenseAccountRef")
        return str(ref["value"]) if ref else self.accounts["Cost of Goods Sold"]

    def _unique(self, entity: str, field: str, name: str, own: str | None) -> None:
        for other in self.rows[entity].values():
            if other["Id"] != own and str(other[field]).lower() == str(name).lower():
                raise Refused("6240", f"The name supplied already exists. : Id={other['Id']}")

    def _free_number(self) -> str:
        taken = {invoice["DocNumber"] for invoice in self.rows["Invoice"].values()}
        while str(self._number) in taken:
            self._number += 1
        return str(self._number)

    def _dates(self, row: Row) -> None:
        row.setdefault("TxnDate", datetime.now(UTC).date().isoformat())
        for name in ("TxnDate", "DueDate"):
            if name in row:
                row[name] = rules.day(name, str(row[name]))

    def _unlink(self, invoice: str) -> None:
        for payment in self.rows["Payment"].values():
            payment["Line"] = [
                line for line in payment["Line"] if all(link["TxnId"] != invoice for link in line["LinkedTxn"])
            ]

    def _of(self, entity: str, ref: str, row: Row) -> list[Row]:
        return [other for other in self.rows[entity].values() if other[ref]["value"] == row["Id"]]
