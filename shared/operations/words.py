"""Words for people where tables and JSON have states and codes. `--json` keeps the contract's own."""

from __future__ import annotations

from typing import Any

UNKNOWN = "outcome unknown"
NOT_FOUND = "not found at the vendor"

_STATES = {
    "denied": "declined",
    "awaiting_approval": "waits for approval",
    "rejected": "rejected by a person",
    "unknown": UNKNOWN,
}
_CHECKS = {
    "tool.known": "the tool exists",
    "tool.granted": "the agent may use it",
    "run.open": "its run is open",
    "deadline.open": "in time",
    "recipient.consents": "the recipient did not ask to be left alone",
    "arguments.size": "arguments not too large",
    "arguments.schema": "arguments fit the tool",
    "duplicate.in_doubt": f"no identical call with {UNKNOWN}",
    "turn.once": "not the same call twice in one turn",
    "approval.not_refused": "no person refused or changed this very call before",
    "policy": "the policies allow it",
    "approval.notice": "a person is told",
    "budget.notice": "a person is told",
    "budget": "the budgets allow it",
}
_EFFECTS = {
    "read": "read (changes nothing)",
    "idempotent": "idempotent (a repeat changes nothing more)",
    "keyed": "keyed (the vendor recognises a repeat by its key)",
    "once": "once (a repeat would be a second effect)",
}
_WAITS = {
    "unknown": f"call {{}} with {UNKNOWN}",
    "approval": "a person's approval of call {}",
    "paused": "the end of the pause of {}",
    "person": "whoever has taken over the conversation {} (`viox give-back`)",
    "budget": "more of the budget {} (`viox budgets`)",
}
_LEDGER = {
    "approval": "a person decided",
    "look_up": "looked up at the vendor",
    "settled": "settled",
    "incident": "late answer",
}
APPROVAL_STATES = {
    "waiting": "waits",
    "approved": "approved",
    "rejected": "rejected",
    "answered": "answered",
    "expired": "expired",
    "withdrawn": "no longer needed",
}
# What people type for the states above.
TYPED = {"declined": "denied", "outcome-unknown": "unknown", UNKNOWN: "unknown"}


def call_state(call: Any) -> str:
    """How a call stands: of a row or document with `state`, `http_status` and `error`."""
    state, status = call["state"], call["http_status"]
    if state in ("succeeded", "failed") and status == 404:
        return NOT_FOUND
    if state == "failed" and (call["error"] or {}).get("code") == "tool.vendor_refused":
        return "declined by the vendor"
    return _STATES.get(str(state), str(state))


def effect(name: str | None) -> str:
    return _EFFECTS.get(name or "", name or "not known")


def check(name: str) -> str:
    return _CHECKS.get(name, name)


def verdict(check: dict[str, Any]) -> str:
    """How a check went. One that only a person can pass is neither passed nor failed."""
    return "checked " if check["passed"] else "asks    " if check.get("people") else "declined"


def ruling(check: dict[str, Any]) -> str:
    """What the policies said, for the check that asked them."""
    if "policies" not in check:
        return f" ({', '.join(check['rules'])})" if check.get("rules") else ""
    parts = [", ".join(check["rules"]) or "no policy permits it"]
    parts += [f"needs {people(check['people'])}"] if check.get("people") else []
    parts += ["people agreed to exactly this"] if check.get("agreed") else []
    parts += [f"would deny: {', '.join(check['watched'])}"] if check.get("watched") else []
    parts += [f"could not be evaluated: {'; '.join(check['errors'])}"] if check.get("errors") else []
    return f" ({'; '.join(parts)})"


def people(number: int) -> str:
    return "a person" if number == 1 else f"{number} people"


def waits_for(one: dict[str, Any]) -> str:
    kind, awaited = str(one["kind"]), str(one["id"])
    return _WAITS.get(kind, kind + " {}").format(awaited)


def ledger(phase: str, detail: Any) -> str:
    """The heading of a ledger entry that is no attempt."""
    if phase == "settled" and isinstance(detail, dict) and detail.get("absent"):
        return f"{NOT_FOUND}, so it is sent again"
    return _LEDGER.get(phase, phase)


def run_end(run: dict[str, Any]) -> str:
    """A run's status, and that it went well only in part or not at all."""
    told = (
        run["status"] if run["outcome"] in (None, run["status"], "succeeded") else f"{run['status']} ({run['outcome']})"
    )
    return f"{told}, {run['failed_calls']} of {run['tool_calls']} calls failed" if run["failed_calls"] else told
