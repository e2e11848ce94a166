"""Chief of Staff without a model: counts what is going on, says what the rules found."""

from __future__ import annotations

from shared.models.offline import Seen, call_missing, cannot, say
from shared.models.port import AssistantMessage, ChatRequest

RUNS_TODAY = (
    "select agent, status, count(*) as runs from runs where started_at > now() - interval '1 day' group by 1, 2"
)


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "weekday" in facts:
        look = call_missing(request, seen, ("records_query", {"sql": RUNS_TODAY}), ("northwind_listJobs", {}))
        if look:
            return look
        due = [name for name in ("week_report", "month_report") if facts[name]]
        return say(
            f"[offline] Briefing for {facts['weekday']} {facts['day']}. Due: {', '.join(due) or 'nothing special'}."
            f"{_work(seen)}{seen.trouble()}"
        )
    if "problem" in facts:
        return say(f"[offline] No briefing: {facts['problem']}.")
    if facts.get("colleagues"):
        return say(f"[offline] That is for {' and '.join(facts['colleagues'])}.")
    return cannot("without a model the Chief of Staff briefs on viox.briefing.due and says whose subject a task names.")


def _work(seen: Seen) -> str:
    """What runs and jobs there are, as far as it could be read."""
    told = ""
    if rows := (seen.result("records_query") or {}).get("rows"):
        told += f" {sum(row[2] for row in rows)} runs in the last day."
    jobs = seen.result("northwind_listJobs")
    if isinstance(jobs, dict) and isinstance(jobs.get("data"), list):
        told += f" {len(jobs['data'])} jobs are on the books."
    return told
