"""QuickBooks' reports, computed from the books: ProfitAndLoss, BalanceSheet, AgedReceivables, in Intuit's rows and columns."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.vendors.quickbooks_books import Books
from sandbox.vendors.quickbooks_rules import Refused, Row, day, moment

AGES = ("Current", "1 - 30", "31 - 60", "61 - 90", "91 and over")
NONE = Decimal(0)


def report(name: str, books: Books, query: Mapping[str, str]) -> Row:
    """A report by its name in the path."""
    if query.get("accounting_method", "Accrual") != "Accrual":
        raise Refused("500", "Operation accounting_method=Cash is not supported.")
    match name:
        case "ProfitAndLoss":
            start, end = _period(query)
            rows = _profit_rows(_totals(books, start, end), books)
            return _framed(name, start, end, ["Total"], "Account", rows)
        case "BalanceSheet":
            start, end = _period(query)
            return _framed(name, start, end, ["Total"], "Account", _balance_rows(books, end))
        case "AgedReceivables":
            end = day("report_date", query["report_date"]) if "report_date" in query else _today().isoformat()
            return _framed(name, None, end, [*AGES, "Total"], "Customer", _aged_rows(books, date.fromisoformat(end)))
        case _:
            raise Refused("500", f"Operation {name} is not supported.")


def _profit_rows(totals: dict[str, Decimal], books: Books) -> list[Row]:
    income = _section("Income", "Income", _accounts(books, totals, ("Income",), -1))
    cost = _section("Cost of Goods Sold", "COGS", _accounts(books, totals, ("Cost of Goods Sold",), 1))
    expenses = _section("Expenses", "Expenses", _accounts(books, totals, ("Expense", "Other Expense"), 1))
    gross = _amount(income) - _amount(cost)
    net = gross - _amount(expenses)
    sections = [income, *([cost] if cost["Rows"]["Row"] else []), _line("Gross Profit", "GrossProfit", gross), expenses]
    return [*sections, _line("Net Operating Income", "NetOperatingIncome", net), _line("Net Income", "NetIncome", net)]


def _balance_rows(books: Books, end: str) -> list[Row]:
    totals = _totals(books, "", end)
    current = [
        _section("Bank Accounts", "BankAccounts", _accounts(books, totals, ("Bank",), 1)),
        _section("Accounts Receivable", "AR", _accounts(books, totals, ("Accounts Receivable",), 1)),
        _section("Other Current Assets", "OtherCurrentAssets", _accounts(books, totals, ("Other Current Asset",), 1)),
    ]
    owed = [
        _section("Accounts Payable", "AP", _accounts(books, totals, ("Accounts Payable",), -1)),
        _section(
            "Other Current Liabilities",
            "OtherCurrentLiabilities",
            _accounts(books, totals, ("Other Current Liability",), -1),
        ),
    ]
    earned = -sum((totals[a] for a, row in books.rows["Account"].items() if _of_profit(row)), NONE)
    equity = _accounts(books, totals, ("Equity",), -1)
    if earned:
        equity.append({"ColData": [{"value": "Net Income"}, _cell(earned)], "type": "Data"})
    assets = _section("ASSETS", "TotalAssets", [_section("Current Assets", "CurrentAssets", _filled(current))])
    debts = [
        _section("Liabilities", "Liabilities", [_section("Current Liabilities", "CurrentLiabilities", _filled(owed))]),
        _section("Equity", "Equity", equity),
    ]
    return [assets, _section("LIABILITIES AND EQUITY", "TotalLiabilitiesAndEquity", debts)]


def _aged_rows(books: Books, today: date) -> list[Row]:
    owed: dict[str, list[Decimal]] = collections.defaultdict(lambda: [NONE] * len(AGES))
    for invoice in books.rows["Invoice"].values():
        balance = books.balance(invoice)
        if balance and invoice["TxnDate"] <= today.isoformat():
            late = (today - date.fromisoformat(invoice["DueDate"])).days
            owed[invoice["CustomerRef"]["value"]][min(max(late + 29, 0) // 30, len(AGES) - 1)] += balance
    rows: list[Row] = []
    for key in sorted(owed, key=lambda key: str(books.rows["Customer"][key]["DisplayName"]).lower()):
        name = {"value": books.rows["Customer"][key]["DisplayName"], "id": key}
        rows.append({"ColData": [name, *(_cell(part) for part in owed[key]), _cell(sum(owed[key], NONE))]})
    sums = [sum(column, NONE) for column in zip(*owed.values(), strict=True)] or [NONE] * len(AGES)
    total = [{"value": "TOTAL"}, *(_cell(part) for part in sums), _cell(sum(sums, NONE))]
    return [*rows, {"Summary": {"ColData": total}, "type": "Section", "group": "GrandTotal"}] if rows else []


def _framed(name: str, start: str | None, end: str, columns: list[str], first: str, rows: list[Row]) -> Row:
    empty = str(not any(_has_data(row) for row in rows)).lower()
    header = {
        "Time": moment(),
        "ReportName": name,
        "ReportBasis": "Accrual",
        "StartPeriod": start,
        "EndPeriod": end,
        "SummarizeColumnsBy": "Total",
        "Currency": "USD",
        "Option": [{"Name": "AccountingStandard", "Value": "GAAP"}, {"Name": "NoReportData", "Value": empty}],
    }
    titles = [{"ColTitle": "", "ColType": first, "MetaData": [{"Name": "ColKey", "Value": first.lower()}]}]
    for title in columns:
        key = [{"Name": "ColKey", "Value": title.lower().replace(" ", "")}]
        titles.append({"ColTitle": title, "ColType": "Money", "MetaData": key})
    if start is None:
        del header["StartPeriod"]
    return {"Header": header, "Columns": {"Column": titles}, "Rows": {"Row": rows}}


def _section(title: str, group: str, rows: list[Row]) -> Row:
    total = sum((_amount(row) for row in rows), NONE)
    return {
        "Header": {"ColData": [{"value": title}, {"value": ""}]},
        "Rows": {"Row": rows},
        "Summary": {"ColData": [{"value": f"{'TOTAL' if title.isupper() else 'Total'} {title}"}, _cell(total)]},
        "type": "Section",
        "group": group,
    }


def _line(title: str, group: str, amount: Decimal) -> Row:
    return {"Summary": {"ColData": [{"value": title}, _cell(amount)]}, "type": "Section", "group": group}


def _accounts(books: Books, totals: dict[str, Decimal], kinds: tuple[str, ...], sign: int) -> list[Row]:
    return [
        {"ColData": [{"value": row["Name"], "id": key}, _cell(sign * totals[key])], "type": "Data"}
        for key, row in books.rows["Account"].items()
        if row["AccountType"] in kinds and totals[key]
    ]


def _totals(books: Books, start: str, end: str) -> dict[str, Decimal]:
    """Debits less credits of every account, in a period."""
    totals: dict[str, Decimal] = collections.defaultdict(Decimal)
    for when, account, amount in books.postings():
        if start <= when <= end:
            totals[account] += amount
    return totals


def _period(query: Mapping[str, str]) -> tuple[str, str]:
    """From start_date and end_date or date_macro; the calendar year to date when nothing is said."""
    today = _today()
    first = today.replace(day=1)
    before = first - timedelta(days=1)
    after = (first + timedelta(days=32)).replace(day=1)
    macros = {
        "Today": (today, today),
        "This Month": (first, after - timedelta(days=1)),
        "This Month-to-date": (first, today),
        "Last Month": (before.replace(day=1), before),
        "This Fiscal Year": (date(today.year, 1, 1), date(today.year, 12, 31)),
        "This Fiscal Year-to-date": (date(today.year, 1, 1), today),
        "Last Fiscal Year": (date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
    }
    macro = query.get("date_macro", "This Fiscal Year-to-date")
    if macro not in macros:
        raise Refused(
            "2170", f"Invalid Enumeration : date_macro {macro} is not one of {', '.join(macros)}", "date_macro"
        )
    start, end = (moment.isoformat() for moment in macros[macro])
    if "start_date" in query:
        start = day("start_date", query["start_date"])
    if "end_date" in query:
        end = day("end_date", query["end_date"])
    return start, end


def _filled(sections: list[Row]) -> list[Row]:
    return [section for section in sections if section["Rows"]["Row"]]


def _has_data(row: Row) -> bool:
    return "ColData" in row or any(_has_data(inner) for inner in row.get("Rows", {}).get("Row", []))


def _of_profit(account: Row) -> bool:
    return account["Classification"] in ("Revenue", "Expense")


def _amount(row: Row) -> Decimal:
    cells: list[dict[str, Any]] = row["Summary"]["ColData"] if "Summary" in row else row["ColData"]
    return Decimal(cells[-1]["value"] or 0)


def _cell(amount: Decimal) -> dict[str, str]:
    return {"value": f"{amount:.2f}"}


def _today() -> date:
    return datetime.now(UTC).date()
