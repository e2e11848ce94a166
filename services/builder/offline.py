"""Builder without a model: looks at what failed, runs it again when that is safe, says what the rules found."""

from __future__ import annotations

from typing import Any

from shared.models.offline import Seen, call_missing, cannot, say
from shared.models.port import AssistantMessage, ChatRequest


def policy(request: ChatRequest) -> AssistantMessage:
    seen = Seen(request)
    kind, data = seen.event()
    facts = seen.facts()
    if "transient" in facts:
        return _failed(request, seen, kind, data, facts)
    if kind == "viox.automation.requested":
        return say(f"[offline] Automation wanted: {data.get('title')}.")
    if kind:
        return say(f"[offline] {kind} noted; its error says nothing to go by.")
    return cannot(
        "without a model Builder looks into failed n8n and Make runs that events tell of, and takes no tasks."
    )


def _failed(
    request: ChatRequest, seen: Seen, kind: str, data: dict[str, Any], facts: dict[str, Any]
) -> AssistantMessage:
    execution = str(data.get("execution", {}).get("id", ""))
    if kind == "com.n8n.execution.failed" and execution:
        look = call_missing(request, seen, ("n8n_get_execution", {"id": execution}))
        if look:
            return look
        again = facts["transient"] and bool(seen.result("n8n_get_execution"))
        repeat = call_missing(request, seen, ("n8n_retry_execution", {"id": execution})) if again else None
        if repeat:
            return repeat
    retried = seen.result("n8n_retry_execution")
    error = str((data.get("execution") or data).get("error", {}).get("message") or "no message")
    ending = "may be tried again" if facts["transient"] else "needs a change first"
    if retried:
        ending = f"run again, now {retried.get('status')}"
    return say(f"[offline] {kind}: {error}; {ending}.{seen.trouble()}")
