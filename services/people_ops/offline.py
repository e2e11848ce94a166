"""People Ops without a model: looks who works here and when there is time, answers the applicant, says what the rules found."""

from __future__ import annotations

from typing import Any

from shared.models.offline import Seen, call_missing, cannot, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    _, data = seen.event()
    facts = seen.facts()
    if "missing" not in facts:
        return cannot("without a model People Ops answers viox.candidate.applied, and takes no tasks.")
    look = call_missing(request, seen, ("northwind_listTechnicians", {}), ("northwind_listSlots", {}))
    if look:
        return look
    answer = call_missing(request, seen, *_answer(data, facts["missing"]))
    if answer:
        return answer
    years = facts["years_of_experience"]
    seniority = f"{years} years of experience" if years is not None else "experience not stated"
    gaps = f" Ask for: {', '.join(facts['missing'])}." if facts["missing"] else ""
    team, slots = (_count(seen.result(tool)) for tool in ("northwind_listTechnicians", "northwind_listSlots"))
    here = f" {team} technicians work here; {slots} slots are in the schedule." if team is not None else ""
    return say(
        f"[offline] {data.get('name')} applied as {data.get('position')}: {seniority}.{gaps}{here}{seen.trouble()}"
    )


def _answer(data: dict[str, Any], missing: list[str]) -> list[tuple[str, dict[str, Any]]]:
    if not data.get("email"):
        return []
    ask = f" Please send us: {', '.join(missing)}." if missing else ""
    text = f"Dear {data.get('name') or 'applicant'},\n\nthank you for applying as {data.get('position')}.{ask} We will be in touch.\n"
    return [("email_send", {"to": [data["email"]], "subject": "Your application", "text": text})]


def _count(result: Any) -> int | None:
    rows = result.get("data") if isinstance(result, dict) else None
    return len(rows) if isinstance(rows, list) else None
