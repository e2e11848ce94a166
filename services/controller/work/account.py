"""What colleagues ask: how a customer's payments stand, and what Controller did on a day."""

from __future__ import annotations

from services.controller.domain import Charge, Invoice, PaymentQuestion, ReportOrder
from services.controller.rules import payouts as rules
from services.controller.work import payouts, views
from shared.money import as_written
from shared.runtime.work import Work

MOST_CUSTOMERS = 5
RUNS_OF_DAY = """
select trigger_type, status, count(*) from runs
where agent = 'controller' and started_at >= to_timestamp($1) and started_at < to_timestamp($2) group by 1, 2 order by 1, 2"""


def find_account(work: Work) -> None:
    asked = views.order(work, PaymentQuestion)
    if asked.customer_email:
        work.call("customers", "stripe_list_customers", {"email": asked.customer_email, "limit": MOST_CUSTOMERS})
    else:
        query = {"query": f'phone:"{asked.phone}"', "limit": MOST_CUSTOMERS}
        work.call("customers", "stripe_search_customers", query)


def read_account(work: Work) -> None:
    for one in views.objects(work.value("customers")):
        work.call("invoices", "stripe_list_invoices", {"customer": one["id"], "limit": 20})
        work.call("charges", "stripe_list_charges", {"customer": one["id"], "limit": 20})


def close_account(work: Work) -> None:
    asked, lines = views.order(work, PaymentQuestion), account_lines(work)
    looked = [one for name in ("customers", "invoices", "charges") for one in work.results(name)]
    if missing := views.failed(*looked):
        return work.fail("controller.account_unknown", f"The account of {asked.who} could not be read: {missing}.")
    if not lines:
        return work.conclude(f"Stripe knows no payment of {asked.who}.")
    return work.conclude(f"Payments of {asked.who}, as Stripe has them:\n- " + "\n- ".join(lines))


def account_lines(work: Work) -> list[str]:
    """Invoices and payments, one line each, as rules write them."""
    lines = []
    for row in (row for one in work.results("invoices") for row in views.objects(one.value)):
        invoice = Invoice.model_validate(row)
        owed = f", {as_written(invoice.owed, invoice.currency)} open" if invoice.status == "open" else ""
        lines.append(
            f"invoice {invoice.called}: {as_written(invoice.amount_due, invoice.currency)}, {invoice.status}{owed}"
        )
    for row in (row for one in work.results("charges") for row in views.objects(one.value)):
        charge = Charge.model_validate(row)
        back = f", {as_written(charge.amount_refunded, charge.currency)} refunded" if charge.amount_refunded else ""
        lines.append(f"payment {charge.id}: {as_written(charge.amount, charge.currency)}, {charge.status}{back}")
    return lines


# -- a day -----------------------------------------------------------------------------------------------------------------


def begin_report(work: Work) -> None:
    span = rules.seconds_of_day(views.order(work, ReportOrder).day, views.zone(work))
    work.call("runs", "records_query", {"sql": RUNS_OF_DAY, "parameters": [span["gte"], span["lt"]], "limit": 100})
    work.call("unpaid", "stripe_list_invoices", {"status": "open", "limit": 100})


def close_report(work: Work) -> None:
    day, rows = views.order(work, ReportOrder).day, (work.value("runs") or {}).get("rows") or []
    lines = [f"{count} x {kind}: {status}" for kind, status, count in rows]
    for code, sums in rules.sums_of(payouts.movements(work)).items():
        lines += [f"{code.upper()}: {line}" for line in sums.lines()]
    for code, (count, owed) in rules.open_by_currency(views.objects(work.value("unpaid"))).items():
        lines.append(f"open invoices: {as_written(owed, code)} ({count})")
    lines += [f"not known: {one.tool} ({one.why})" for one in work.failures()]
    work.conclude(f"Controller, {day}\n- " + "\n- ".join(lines or ["nothing happened"]))
