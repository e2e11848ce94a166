"""What Controller does, in the order of the work. The nodes are in work/, the rules they go by in rules/.

A payment failed: reminders by a ladder, until it is paid or a person takes care of it. Who answers one is heard: reminders rest,
and what needs an answer goes to Steward.
An invoice was paid: reminders stop, QuickBooks gets the invoice and its payment. It changed there: compared line by line.
A refund is ordered: the charge is found and checked by rule; a person agrees before money moves.
A charge is disputed: evidence is gathered from everywhere, written from its sources, given to the bank behind a person.
A payout, a month: summed and reconciled to the cent by rules. A colleague's question: answered from Stripe's lists.
The model phrases later reminders, writes evidence from sources, and puts a month into words; nothing else.
"""

from __future__ import annotations

from langgraph.graph import END

from services.controller import domain
from services.controller.prompts import EVIDENCE, HEARD, MONTH, PHRASING
from services.controller.work import account, books, disputes, dunning, payouts, refunds, views
from shared.runtime.flow import Flow
from shared.runtime.work import Work

EVENTS = {
    "com.stripe.invoice.payment_failed": "look_up_debt",
    "com.stripe.invoice.paid": "look_up_payment",
    "com.stripe.charge.dispute.created": "read_dispute",
    "com.intuit.qbo.invoice.updated": "open_books",
}
TASKS = {
    "dunning": "look_up_debt",
    "refund": "find_payment",
    "payout": "find_payout",
    "month": "read_month",
    "dispute": "read_dispute",
    "payment_question": "find_account",
    "report": "begin_report",
}
BEGINNINGS = [*dict.fromkeys([*EVENTS.values(), *TASKS.values()]), "refuse_order", "improvise"]


def what_came(work: Work) -> str:
    if work.trigger.heard:
        return "look_up_debt" if dunning.kept(work).invoice else "improvise"
    if not work.trigger.is_task:
        return EVENTS.get(work.trigger.type, "improvise")
    kind = domain.kind_of(work.trigger.context, work.trigger.instruction)
    if kind is None:
        return "improvise"
    return "refuse_order" if views.what_is_wrong(work) else TASKS[kind]


def refuse_order(work: Work) -> None:
    kind = domain.kind_of(work.trigger.context, work.trigger.instruction)
    told = f"The task's context.{kind} does not say what is wanted: {views.what_is_wrong(work)}."
    work.fail("controller.invalid_order", told, "Give the task again with that.")


def graph() -> Flow:
    flow = Flow()
    flow.begin(what_came, BEGINNINGS)
    flow.add_node("refuse_order", refuse_order)
    flow.add_edge("refuse_order", END)
    flow.add_open_loop("improvise")
    remind_of_debts(flow)
    keep_books(flow)
    refund_payments(flow)
    answer_disputes(flow)
    reconcile_payouts(flow)
    sum_up_months(flow)
    answer_colleagues(flow)
    return flow


def remind_of_debts(flow: Flow) -> None:
    flow.add_node("look_up_debt", dunning.look_up_debt)
    flow.add_node("hear_customer", dunning.hear_customer, asks=[HEARD])
    flow.add_node("pass_to_steward", dunning.pass_to_steward)
    flow.add_node("phrase_reminder", dunning.phrase_reminder, asks=[PHRASING])
    flow.add_node("send_reminder", dunning.send_reminder)
    flow.add_node("plan_next_step", dunning.plan_next_step)
    flow.add_node("hold_reminder", dunning.hold_reminder)
    flow.add_node("postpone_reminder", dunning.postpone_reminder)
    flow.add_node("ask_about_debt", dunning.ask_about_debt)
    flow.add_node("carry_out_decision", dunning.carry_out_decision)
    flow.add_node("stop_reminders", dunning.stop_reminders)
    flow.add_node("close_debt", dunning.close_debt)

    flow.add_conditional_edges(
        "look_up_debt",
        dunning.by_debt,
        [
            "send_reminder",
            "phrase_reminder",
            "hold_reminder",
            "ask_about_debt",
            "stop_reminders",
            "postpone_reminder",
            "hear_customer",
            "close_debt",
        ],
    )
    flow.add_conditional_edges("hear_customer", dunning.by_meaning, ["pass_to_steward", "hold_reminder", "close_debt"])
    flow.add_conditional_edges("pass_to_steward", dunning.by_standing, ["hold_reminder", "close_debt"])
    flow.add_edge("phrase_reminder", "send_reminder")
    flow.add_conditional_edges("send_reminder", dunning.by_delivery, ["plan_next_step", "postpone_reminder"])
    flow.add_conditional_edges("ask_about_debt", dunning.by_decision, ["phrase_reminder", "carry_out_decision"])
    for done in ("plan_next_step", "hold_reminder", "postpone_reminder", "carry_out_decision", "stop_reminders"):
        flow.add_edge(done, "close_debt")
    flow.add_edge("close_debt", END)


def keep_books(flow: Flow) -> None:
    flow.add_node("look_up_payment", books.look_up_payment)
    flow.add_node("enter_customer", books.enter_customer)
    flow.add_node("find_customer_again", books.find_customer_again)
    flow.add_node("enter_invoice", books.enter_invoice)
    flow.add_node("book_payment", books.book_payment)
    flow.add_node("tell_of_payment", books.tell_of_payment)
    flow.add_node("close_payment", books.close_payment)
    flow.add_node("open_books", books.open_books)
    flow.add_node("look_up_original", books.look_up_original)
    flow.add_node("note_differences", books.note_differences)
    flow.add_node("close_comparison", books.close_comparison)

    flow.add_conditional_edges(
        "look_up_payment", books.by_books, ["enter_customer", "enter_invoice", "book_payment", "tell_of_payment"]
    )
    flow.add_conditional_edges("enter_customer", books.by_customer, ["enter_invoice", "find_customer_again"])
    flow.add_conditional_edges("find_customer_again", books.by_second_look, ["enter_invoice", "tell_of_payment"])
    flow.add_conditional_edges("enter_invoice", books.by_entry, ["book_payment", "tell_of_payment"])
    flow.add_edge("book_payment", "tell_of_payment")
    flow.add_edge("tell_of_payment", "close_payment")
    flow.add_edge("close_payment", END)

    flow.add_conditional_edges("open_books", books.by_origin, ["look_up_original", "close_comparison"])
    flow.add_edge("look_up_original", "note_differences")
    flow.add_edge("note_differences", "close_comparison")
    flow.add_edge("close_comparison", END)


def refund_payments(flow: Flow) -> None:
    flow.add_node("find_payment", refunds.find_payment)
    flow.add_node("list_charges", refunds.list_charges)
    flow.add_node("ask_which_charge", refunds.ask_which_charge)
    flow.add_node("read_charge", refunds.read_charge)
    flow.add_node("refund", refunds.refund)
    flow.add_node("note_refund", refunds.note_refund)
    flow.add_node("close_refund", refunds.close_refund)

    flow.add_conditional_edges("find_payment", refunds.by_payment, ["refund", "list_charges"])
    flow.add_conditional_edges(
        "list_charges", refunds.by_candidates, ["read_charge", "ask_which_charge", "close_refund"]
    )
    flow.add_conditional_edges("ask_which_charge", refunds.by_choice, ["read_charge", "close_refund"])
    flow.add_edge("read_charge", "refund")
    flow.add_edge("refund", "note_refund")
    flow.add_edge("note_refund", "close_refund")
    flow.add_edge("close_refund", END)


def answer_disputes(flow: Flow) -> None:
    flow.add_node("read_dispute", disputes.read_dispute)
    flow.add_node("read_disputed_charge", disputes.read_disputed_charge)
    flow.add_node("gather_evidence", disputes.gather_evidence)
    flow.add_node("read_contact", disputes.read_contact)
    flow.add_node("ask_for_evidence", disputes.ask_for_evidence)
    flow.add_node("write_evidence", disputes.write_evidence, asks=[EVIDENCE])
    flow.add_node("give_evidence", disputes.give_evidence)
    flow.add_node("note_dispute", disputes.note_dispute)
    flow.add_node("close_dispute", disputes.close_dispute)

    flow.add_conditional_edges(
        "read_dispute", disputes.by_dispute, ["gather_evidence", "read_disputed_charge", "close_dispute"]
    )
    flow.add_edge("read_disputed_charge", "gather_evidence")
    flow.add_edge("gather_evidence", "read_contact")
    flow.add_conditional_edges("read_contact", disputes.by_sources, ["write_evidence", "ask_for_evidence"])
    flow.add_conditional_edges("ask_for_evidence", disputes.by_told, ["write_evidence", "close_dispute"])
    flow.add_conditional_edges("write_evidence", disputes.by_evidence, ["give_evidence", "close_dispute"])
    flow.add_edge("give_evidence", "note_dispute")
    flow.add_edge("note_dispute", "close_dispute")
    flow.add_edge("close_dispute", END)


def reconcile_payouts(flow: Flow) -> None:
    flow.add_node("find_payout", payouts.find_payout)
    flow.add_node("read_payout", payouts.read_payout)
    flow.add_node("compare_with_books", payouts.compare_with_books)
    flow.add_node("plan_next_payout", payouts.plan_next_payout)
    flow.add_node("close_payout", payouts.close_payout)

    flow.add_conditional_edges("find_payout", payouts.by_payout, ["read_payout", "plan_next_payout"])
    flow.add_conditional_edges("read_payout", payouts.by_pages, ["read_payout", "compare_with_books"])
    flow.add_edge("compare_with_books", "plan_next_payout")
    flow.add_edge("plan_next_payout", "close_payout")
    flow.add_edge("close_payout", END)


def sum_up_months(flow: Flow) -> None:
    flow.add_node("read_month", payouts.read_month)
    flow.add_node("put_into_words", payouts.put_into_words, asks=[MONTH])
    flow.add_node("plan_next_month", payouts.plan_next_month)
    flow.add_node("close_month", payouts.close_month)

    flow.add_conditional_edges(
        "read_month", payouts.by_month_pages, ["read_month", "put_into_words", "plan_next_month"]
    )
    flow.add_edge("put_into_words", "plan_next_month")
    flow.add_edge("plan_next_month", "close_month")
    flow.add_edge("close_month", END)


def answer_colleagues(flow: Flow) -> None:
    flow.add_node("find_account", account.find_account)
    flow.add_node("read_account", account.read_account)
    flow.add_node("close_account", account.close_account)
    flow.add_node("begin_report", account.begin_report)
    flow.add_node("read_day", payouts.read_day)
    flow.add_node("close_report", account.close_report)

    flow.add_edge("find_account", "read_account")
    flow.add_edge("read_account", "close_account")
    flow.add_edge("close_account", END)
    flow.add_edge("begin_report", "read_day")
    flow.add_conditional_edges("read_day", payouts.by_day_pages, ["read_day", "close_report"])
    flow.add_edge("close_report", END)
