"""What Chief of Staff does, in the order of the work.

A request of the owner: whose trade it is, is seen by rule where it is plain and planned by the model where it is not; the
colleagues do it at the same time; their answers become one, and what failed is named as failed.

A briefing: our own records, Stripe and QuickBooks are read, summed up and compared with what is usual; the model writes the
first sentences; the owner is told. Rules decide all numbers.
"""

from __future__ import annotations

from langgraph.graph import END

from services.chief_of_staff.prompts import ANSWER, BRIEFING, PLAN
from services.chief_of_staff.rules import briefing, requests
from services.chief_of_staff.rules.briefing import Facts, Read, Span
from services.chief_of_staff.rules.requests import Answer, Plan
from shared.runtime.flow import Flow
from shared.runtime.work import Result, Work

MOST_PAGES = 10


def what_came(work: Work) -> str:
    if work.trigger.type == "viox.briefing.due":
        return "look_back" if span_of(work) else "refuse_day"
    if not work.trigger.is_task:
        return "improvise"
    said = work.trigger.instruction
    if briefing.asks_for_briefing(said) or briefing.day_of_report(work.trigger.context):
        return "look_back"
    if requests.asks_who(said):
        return "say_who"
    return "hand_over" if requests.plain_plan(said, work.trigger.context) else "plan"


# -- a request of the owner ----------------------------------------------------------------------------------------------


def say_who(work: Work) -> None:
    said = work.trigger.instruction
    names = [requests.title(agent) for agent in requests.mentioned(said) or requests.trades_in(said)]
    work.conclude(f"That is for {' and '.join(names)}.")


def plan(work: Work) -> None:
    work.ask(PLAN, request=work.trigger.instruction, outside={"facts": work.trigger.context})


def by_plan(work: Work) -> str:
    return "hand_over" if planned(work).tasks else "improvise"


def hand_over(work: Work) -> None:
    """All colleagues begin at once."""
    said, facts = work.trigger.instruction, work.trigger.context
    for task in planned(work).tasks:
        context = requests.context_for(task, said, facts)
        given = {"agent": task.agent, "instruction": task.instruction, "context": context or None}
        work.call("task", "task_delegate", given)


def by_answers(work: Work) -> str:
    """One answer is told as it is; several are put into one."""
    return "gather" if sum(answer.done for answer in answers(work)) > 1 else "report"


def gather(work: Work) -> None:
    done = [{"from": answer.agent, "said": answer.text} for answer in answers(work) if answer.done]
    work.ask(ANSWER, request=work.trigger.instruction, outside={"answers": done})


def report(work: Work) -> None:
    found = answers(work)
    failed = requests.not_done(found)
    if not any(answer.done for answer in found):
        return work.fail("chief-of-staff.not_done", failed)
    several = sum(answer.done for answer in found) > 1
    phrased = work.answer(ANSWER) if several else None
    told = phrased or requests.as_list(found)
    return work.conclude("\n".join(part for part in (told, failed) if part))


# -- a briefing ------------------------------------------------------------------------------------------------------------


def look_back(work: Work) -> None:
    """Read what happened, and what it is compared with."""
    span = needed_span(work)
    for name, question in briefing.questions(span).items():
        work.call(name, "records_query", question)
    work.call("movements", "stripe_list_balance_transactions", briefing.movements_of(span, None))
    work.call("overdue", "quickbooks_query", briefing.overdue_query(span))
    for tool in work.business.briefing_reads:
        work.call(tool, tool, {})


def look_further(work: Work) -> None:
    """The next page of what moved the balance."""
    last = work.value("movements")["data"][-1]["id"]
    work.call("movements", "stripe_list_balance_transactions", briefing.movements_of(needed_span(work), last))


def look_ahead(work: Work) -> None:
    """What is set for tomorrow. A deployment whose records do not show timers has no such view."""
    if ["timers"] in briefing.rows(work.value("views")):
        work.call("timers", "records_query", briefing.timers_of(needed_span(work)))


def by_pages(work: Work) -> str:
    page = work.value("movements")
    more = isinstance(page, dict) and page.get("has_more") and page.get("data")
    return "look_further" if more and len(work.results("movements")) < MOST_PAGES else "look_ahead"


def weigh(work: Work) -> None:
    """The sums, and the model's word on them. Texts of runs are of people outside, too."""
    facts = facts_of(work)
    failed = [{"agent": row[0], "about": row[1], "said": row[2]} for row in briefing.rows(work.value("failed"))]
    own = {tool: work.value(tool) for tool in work.business.briefing_reads if work.value(tool) is not None}
    work.ask(BRIEFING, facts=facts, outside={"failed_runs": failed, "own_tools": own})


def by_wish(work: Work) -> str:
    """Who asks in a task reads the answer there."""
    return "answer" if work.trigger.is_task else "tell_owner"


def tell_owner(work: Work) -> None:
    facts = facts_of(work)
    given = {
        "to": work.business.owner,
        "subject": f"Briefing: {facts.title}",
        "text": written(work),
        "short": briefing.short(facts),
    }
    work.call("told", "person_tell", given)


def close(work: Work) -> None:
    told = work.result("told")
    facts = facts_of(work)
    if told is None or not told.ok:
        why = told.why if told else "nobody was asked to"
        return work.fail("chief-of-staff.not_told", f"{briefing.headline(facts)} It did not reach the owner: {why}.")
    return work.conclude(written(work))


def answer(work: Work) -> None:
    work.conclude(written(work))


def refuse_day(work: Work) -> None:
    remedy = "Publish viox.briefing.due with day as an ISO date, for instance 2026-11-30."
    work.fail("chief-of-staff.no_day", "No briefing: its day is not a date.", remedy)


# -- parts -----------------------------------------------------------------------------------------------------------------


def planned(work: Work) -> Plan:
    plain = requests.plain_plan(work.trigger.instruction, work.trigger.context)
    return plain or work.answer(PLAN) or Plan(tasks=[])


def answers(work: Work) -> list[Answer]:
    return [answer_of(one) for one in work.results("task")]


def answer_of(one: Result) -> Answer:
    agent = str(one.arguments["agent"])
    text = str((one.value or {}).get("text") or "done, without a word") if one.ok else one.why
    return Answer(agent=agent, done=one.ok, text=text)


def span_of(work: Work) -> Span | None:
    zone = work.business.time_zone
    if day := briefing.day_of_report(work.trigger.context):
        return briefing.span_of(day, "day", zone)
    if work.trigger.is_task:
        return briefing.span_of_request(work.trigger.instruction, work.now, zone)
    data = work.trigger.data
    return briefing.span_of(str(data.get("day")), str(data.get("period", "day")), zone)


def needed_span(work: Work) -> Span:
    span = span_of(work)
    assert span is not None  # noqa: S101  # what_came sends others elsewhere
    return span


def facts_of(work: Work) -> Facts:
    pages = [one.value for one in work.results("movements") if one.ok and isinstance(one.value, dict)]
    failed = [one.name for one in work.results() if not one.ok and one.name not in ("failed", "told", "views")]
    if isinstance(work.value("movements"), dict) and work.value("movements").get("has_more"):
        failed.append("movements of money beyond the first thousand")
    read = Read(
        runs=work.value("runs"),
        open_calls=work.value("open calls"),
        usual=work.value("usual"),
        history=work.value("history"),
        timers=work.value("timers"),
        movements=[one for page in pages for one in page.get("data") or []],
        overdue=work.value("overdue"),
        unread=list(dict.fromkeys(failed)),
    )
    return briefing.facts_of(read, needed_span(work), work.now)


def written(work: Work) -> str:
    facts, beginning = facts_of(work), work.answer(BRIEFING)
    return f"{beginning or briefing.headline(facts)}\n\n{briefing.body(facts)}"


def graph() -> Flow:
    flow = Flow()
    flow.add_node("say_who", say_who)
    flow.add_node("plan", plan, asks=[PLAN])
    flow.add_node("hand_over", hand_over)
    flow.add_node("gather", gather, asks=[ANSWER])
    flow.add_node("report", report)
    flow.add_node("look_back", look_back)
    flow.add_node("look_further", look_further)
    flow.add_node("look_ahead", look_ahead)
    flow.add_node("weigh", weigh, asks=[BRIEFING])
    flow.add_node("tell_owner", tell_owner)
    flow.add_node("close", close)
    flow.add_node("answer", answer)
    flow.add_node("refuse_day", refuse_day)
    flow.add_open_loop("improvise")

    flow.begin(what_came, ["look_back", "refuse_day", "say_who", "hand_over", "plan", "improvise"])
    flow.add_conditional_edges("plan", by_plan, ["hand_over", "improvise"])
    flow.add_conditional_edges("hand_over", by_answers, ["gather", "report"])
    flow.add_edge("gather", "report")
    flow.add_conditional_edges("look_back", by_pages, ["look_further", "look_ahead"])
    flow.add_conditional_edges("look_further", by_pages, ["look_further", "look_ahead"])
    flow.add_edge("look_ahead", "weigh")
    flow.add_conditional_edges("weigh", by_wish, ["answer", "tell_owner"])
    flow.add_edge("tell_owner", "close")
    for last in ("say_who", "report", "close", "answer", "refuse_day"):
        flow.add_edge(last, END)
    return flow
