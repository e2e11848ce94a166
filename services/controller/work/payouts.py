"""Payouts reconciled to the cent, months summed up. All sums are made by rules; a model writes at most the words around them."""

from __future__ import annotations

from datetime import timedelta

from services.controller.domain import MonthOrder, PayoutOrder, ReportOrder
from services.controller.prompts import MONTH
from services.controller.rules import payouts as rules
from services.controller.rules.payouts import Movement, Payout, Reconciled
from services.controller.work import views
from shared.money import as_written
from shared.runtime.work import Work

KEPT = "reconciled"
MORE_AT_ONCE = timedelta(minutes=1)


# -- a payout --------------------------------------------------------------------------------------------------------------


def find_payout(work: Work) -> None:
    order = views.order(work, PayoutOrder)
    if order.id:
        work.call("payout", "stripe_get_payout", {"payout": order.id})
    else:
        work.call("payouts", "stripe_list_payouts", {"status": "paid", "limit": 10})


def by_payout(work: Work) -> str:
    payout = payout_of(work)
    return "read_payout" if payout is not None and payout.automatic else "plan_next_payout"


def read_payout(work: Work) -> None:
    """What it is made of, page by page."""
    payout = payout_of(work)
    assert payout is not None  # noqa: S101  # by_payout looked
    _next_page(work, {"payout": payout.id})


def by_pages(work: Work) -> str:
    return "read_payout" if _has_more(work) else "compare_with_books"


def compare_with_books(work: Work) -> None:
    for charge in rules.charges_in(movements(work)):
        work.call("booked", "records_read", {"entity": rules.record_of(charge)})


def plan_next_payout(work: Work) -> None:
    """Note what came of it; with `repeat` tomorrow's payout is looked at by itself."""
    payout = payout_of(work)
    if payout is not None and movements(work):
        difference, lines = explained(work, payout)
        work.keep(KEPT, Reconciled(payout=payout.id))
        data = {"amount": payout.amount, "difference": difference, "lines": lines[:100]}
        work.call("record", "records_write", {"entity": f"stripe:{payout.id}", "data": data})
    if views.order(work, PayoutOrder).repeat:
        more = len(_unseen(work)) > 1
        at = views.told(work.now + MORE_AT_ONCE if more else rules.tomorrow(work.now, views.zone(work)))
        told = {"name": rules.TIMER_DAY, "at": at, "instruction": "Reconcile the newest payout, every day."}
        work.call("timer", "timer_set", told | {"context": {"payout": {"repeat": True}}})


def close_payout(work: Work) -> None:
    order, payout = views.order(work, PayoutOrder), payout_of(work)
    looked = [one for name in ("payout", "payouts", "movements", "booked") for one in work.results(name)]
    if missing := views.failed(*looked):
        return work.fail("controller.not_reconciled", f"The payout was not reconciled: {missing}.", "Ask for it again.")
    if _is_cut(work):
        most = rules.PAGE * rules.MOST_PAGES
        return work.fail("controller.too_many", f"The payout has more than {most} movements; it was not reconciled.")
    if payout is None:
        return work.conclude(
            f"Stripe has no payout {order.id}." if order.id else "No payout has come that was not reconciled."
        )
    amount = as_written(payout.amount, payout.currency)
    if not payout.automatic:
        return work.conclude(
            f"Payout {payout.id} over {amount} was made by hand: Stripe does not say what it is made of."
        )
    difference, lines = explained(work, payout)
    sums = [
        line
        for one in rules.sums_of(movements(work)).values()
        for line in one.lines()
        if not line.startswith("paid out")
    ]
    head = f"Payout {payout.id} over {amount} is right to the cent"
    if difference:
        head = (
            f"Payout {payout.id} over {amount} differs from its movements by {as_written(difference, payout.currency)}"
        )
    return work.conclude(f"{head}.\n- " + "\n- ".join([*sums, *lines]))


def explained(work: Work, payout: Payout) -> tuple[int, list[str]]:
    booked = {one.arguments["entity"].partition(":")[2]: one.value for one in work.results("booked")}
    return rules.explained(payout, movements(work), booked)


def payout_of(work: Work) -> Payout | None:
    """The payout that is ordered, or the oldest that came after the one reconciled last."""
    if found := work.value("payout"):
        return Payout.model_validate(found)
    if read := work.results("movements"):  # chosen already: what is kept has moved on since
        return next(one for one in _payouts(work) if one.id == read[0].arguments["payout"])
    return next(iter(_unseen(work)), None)


def _payouts(work: Work) -> list[Payout]:
    return [Payout.model_validate(one) for one in views.objects(work.value("payouts"))]


def _unseen(work: Work) -> list[Payout]:
    seen = work.kept(KEPT, Reconciled)
    return rules.unseen(_payouts(work), seen.payout if seen else None)


# -- a month ---------------------------------------------------------------------------------------------------------------


def read_month(work: Work) -> None:
    """The month's movements, page by page; with the first page what the books say of it."""
    span = rules.seconds_of_month(month_of(work), views.zone(work))
    if not work.results("movements"):
        month = month_of(work)
        last = rules.last_day(month)
        given = {"start_date": f"{month}-01", "end_date": last.isoformat()}
        work.call("profit", "quickbooks_profit_and_loss", given)
        work.call("unpaid", "stripe_list_invoices", {"status": "open", "limit": 100})
        work.call("disputes", "stripe_list_disputes", {"created": span, "limit": 100})
    _next_page(work, {"created": span})


def by_month_pages(work: Work) -> str:
    if _has_more(work):
        return "read_month"
    return "put_into_words" if movements(work) and not views.failed(*work.results("movements")) else "plan_next_month"


def put_into_words(work: Work) -> None:
    work.ask(MONTH, month=month_of(work), sums=lines_of_month(work))


def plan_next_month(work: Work) -> None:
    if views.order(work, MonthOrder).repeat:
        at = views.told(rules.next_month(work.now, views.zone(work)))
        told = {"name": rules.TIMER_MONTH, "at": at, "instruction": "Sum up last month, every month."}
        work.call("timer", "timer_set", told | {"context": {"month": {"repeat": True}}})
    if movements(work):
        data = {"lines": lines_of_month(work)}
        work.call("record", "records_write", {"entity": f"month:{month_of(work)}", "data": data})


def close_month(work: Work) -> None:
    if missing := views.failed(*work.results("movements")):
        return work.fail(
            "controller.not_summed", f"{month_of(work)} was not summed up: {missing}.", "Ask for it again."
        )
    if _is_cut(work):
        return work.fail(
            "controller.too_many", f"{month_of(work)} has more than {rules.PAGE * rules.MOST_PAGES} movements."
        )
    lines = lines_of_month(work)
    words = work.answer(MONTH) or ""
    prose = f"{words}\n" if words and not rules.invents(words, [*lines, month_of(work)]) else ""
    return work.conclude(f"{month_of(work)}\n{prose}- " + "\n- ".join(lines))


def month_of(work: Work) -> str:
    return views.order(work, MonthOrder).month or rules.month_before(work.trigger.time, views.zone(work))


def lines_of_month(work: Work) -> list[str]:
    lines = [f"{code.upper()}: {line}" for code, one in rules.sums_of(movements(work)).items() for line in one.lines()]
    lines = lines or ["nothing moved at Stripe"]
    for code, (count, owed) in rules.open_by_currency(views.objects(work.value("unpaid"))).items():
        lines.append(f"open invoices: {as_written(owed, code)} ({count})")
    if disputes := views.objects(work.value("disputes")):
        lines.append(f"disputes begun: {len(disputes)}")
    if profit := rules.profit_in(work.value("profit")):
        lines.append(f"net income in the books: {profit}")
    missing = [one for name in ("profit", "unpaid", "disputes") for one in work.results(name) if not one.ok]
    return lines + [f"not known: {one.tool} ({one.why})" for one in missing]


# -- movements, a page at a time -------------------------------------------------------------------------------------------


def movements(work: Work) -> list[Movement]:
    return [Movement.model_validate(row) for one in work.results("movements") for row in views.objects(one.value)]


def read_day(work: Work) -> None:
    """The movements of a day, page by page."""
    _next_page(work, {"created": rules.seconds_of_day(views.order(work, ReportOrder).day, views.zone(work))})


def by_day_pages(work: Work) -> str:
    return "read_day" if _has_more(work) else "close_report"


def _next_page(work: Work, of: dict[str, object]) -> None:
    before = movements(work)
    after = before[-1].id if before else None
    work.call("movements", "stripe_list_balance_transactions", {**of, "limit": rules.PAGE, "starting_after": after})


def _has_more(work: Work) -> bool:
    """Whether there is a page to read: Stripe has one, and not as many were read as are at all."""
    return _is_cut(work) and len(work.results("movements")) < rules.MOST_PAGES


def _is_cut(work: Work) -> bool:
    pages = work.results("movements")
    return bool(pages) and pages[-1].ok and bool((pages[-1].value or {}).get("has_more"))
