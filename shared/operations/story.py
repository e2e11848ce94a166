"""A run told in plain sentences, by rule from what is on record: tool, vendor, effect, state and arguments. No model writes here.

Without `content` a sentence names no argument, result or text: that is what somebody sees who may not read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.operations import titles, words
from shared.operations.payloads import reference_in
from shared.operations.sentences import about, agent_name, cut, doing

LISTS = ("items", "results", "rows", "data", "records", "bases", "messages")  # where answers keep what they list
FOLDED_FROM = 4  # so many calls alike in one step become one line
Tone = str  # done, waits, failed, unknown, running or quiet
TONES = {
    "succeeded": "done",
    "failed": "failed",
    "denied": "failed",
    "rejected": "failed",
    "expired": "failed",
    "unknown": "unknown",
    "awaiting_approval": "waits",
    "approved": "running",
    "requested": "running",
    "executing": "running",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of a story. `detail` are the machine's words; `call` the call it is of, `calls` how many stand for it."""

    key: str
    at: Any
    text: str
    detail: str
    tone: Tone
    step: int | None = None
    call: str | None = None
    calls: int = 1
    took_ms: float | None = None
    child: str | None = None


def story(
    run: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    *,
    content: bool = True,
) -> list[Line]:
    """The sentences of a run, in their order."""
    by_step: dict[int, list[Mapping[str, Any]]] = {}
    for call in calls:
        by_step.setdefault(call["step"], []).append(call)
    told = [line for step in steps for line in _step(run, step, by_step.pop(step["step"], []), content)]
    left = [line for number in sorted(by_step) for line in _calls(run["agent"], by_step[number], content)]
    return sorted(told + left, key=lambda line: line.at) if left else told


def _step(
    run: Mapping[str, Any], step: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], content: bool
) -> Iterator[Line]:
    kind, body, who = step["kind"], step["body"], agent_name(run["agent"])
    line = Line(f"s{step['step']}", step["created_at"], "", "", "done", step["step"])
    match kind:
        case "trigger":
            source = body["source"] if content else "who sent it is not shown"
            yield replace(line, text=titles.began(body, content=content), detail=f"{body['type']} from {source}")
        case "model":
            yield replace(line, **_turn(who, body, content), took_ms=body["latency_ms"])
            yield from _calls(run["agent"], calls, content)
        case "plan":
            yield from _calls(run["agent"], calls, content)
        case "note":
            text = f"{who} noted: {cut(body['text'], 300)}" if content else f"{who} made a note."
            yield replace(line, text=text, detail="note", tone="quiet")
        case "fork":
            yield replace(line, text=_forked(body), detail=f"from run {body['of']}", tone="quiet")
        case "outcome":
            yield replace(line, **_end(who, body, content))
        case _:  # results stand with their calls; what an agent keeps and asks stands in the log
            yield from _calls(run["agent"], calls, content)


def _turn(who: str, body: Mapping[str, Any], content: bool) -> dict[str, Any]:
    """A turn of a model: what it was asked, and what it said."""
    offline = body["provider"] == "offline"
    usage = body["usage"]
    detail = f"{body['model']} · {usage['input']:,} + {usage['output']:,} tokens"
    asked = (body.get("question") or "").replace("_", " ")
    if not asked:
        said = cut(body["text"], 300) if content and body["text"] else ""
        text = f"{who} thought about it" + (f": {said}" if said else ".")
        return {"text": text, "detail": detail, "tone": "quiet"}
    answers = next((call["arguments"] for call in body["calls"] if isinstance(call["arguments"], dict)), {})
    told = ", ".join(f"{key.replace('_', ' ')} {cut(value, 80)}" for key, value in answers.items() if value is not None)
    text = f"Rules answered for the model about {asked}" if offline else f"The model was asked about {asked}"
    if content and told:
        text += f": {told}" if offline else f" and answered: {told}"
    return {"text": f"{text}.", "detail": detail, "tone": "quiet"}


def _forked(body: Mapping[str, Any]) -> str:
    """What a fork changed. What stands before it is the original's."""
    changed = [f"asking {body['model']}"] if "model" in body else []
    changed += ["with another prompt"] if "prompt" in body else []
    changed += [f"with {name.replace('_', ' ')} asked otherwise" for name in body.get("questions", ())]
    changed += ["with something else on record"] if "edited" in body else []
    return f"From here on it is a fork, begun by {body['by']}: {', '.join(changed) or 'with nothing changed'}."


def _end(who: str, body: Mapping[str, Any], content: bool) -> dict[str, Any]:
    failed = body.get("status") in ("failed", "blocked")
    said = cut(body.get("text") or "", 600) if content else ""
    text = f"{who} {'gave up' if failed else 'finished'}" + (f": {said}" if said else ".")
    return {"text": text, "detail": body.get("status") or "outcome", "tone": "failed" if failed else "done"}


def _calls(agent: str, calls: Sequence[Mapping[str, Any]], content: bool) -> Iterator[Line]:
    """A line for each call; many that are alike in tool and state become one."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for call in calls:
        groups.setdefault((call["tool"], call["state"]), []).append(call)
    for alike in groups.values():
        if len(alike) < FOLDED_FROM:
            yield from (call_line(agent, call, content=content) for call in alike)
            continue
        first = call_line(agent, alike[0], content=False)
        took = [one["latency_ms"] for one in alike if one["latency_ms"] is not None]
        text = f"{first.text.rstrip('.')}, {len(alike)} times."
        yield replace(first, text=text, calls=len(alike), took_ms=sum(took) if took else None)


def call_line(agent: str, call: Mapping[str, Any], *, content: bool = True) -> Line:
    """One call as a sentence."""
    state = words.call_state(call)
    detail = f"{call['tool']} · {state}"
    error = call["error"] or {}
    if content and error.get("message"):
        detail = f"{call['tool']} · {cut(error['message'], 200)}"
    if call["attempt"] > 1:
        detail += f" · {call['attempt']} attempts"
    tone = "done" if state == words.NOT_FOUND else TONES.get(call["state"], "quiet")
    return Line(
        call["call_id"],
        call["created_at"],
        sentence(agent, call, content=content),
        detail,
        tone,
        call["step"],
        call["call_id"],
        took_ms=call["latency_ms"],
        child=_child(call),
    )


def sentence(agent: str, call: Mapping[str, Any], *, content: bool = True) -> str:
    """What a call is, in one sentence."""
    who, deed = agent_name(agent), doing(call["tool"], call["vendor"])
    thing = about(call["tool"], call["arguments"]) if content else ""
    object_ = f" ({thing})" if thing else ""
    state = call["state"]
    if words.call_state(call) == words.NOT_FOUND:
        return f"{who} {deed.past}{object_} and found nothing."
    match state:
        case "succeeded":
            return f"{who} {deed.past}{object_}{_found(call) if content else ''}."
        case "failed":
            return f"{who} could not {deed.base}{object_}."
        case "denied":
            return f"{who} was not allowed to {deed.base}{object_}."
        case "awaiting_approval":
            return f"{who} waits for a person's yes to {deed.base}{object_}."
        case "rejected":
            return f"A person refused to let {who} {deed.base}{object_}."
        case "expired":
            return f"Nobody decided in time whether {who} may {deed.base}{object_}."
        case "unknown":
            return f"Nobody knows yet whether {who} {deed.past}{object_}."
        case _:
            return f"{who} is about to {deed.base}{object_}."


def _found(call: Mapping[str, Any]) -> str:
    """What a call that only reads came back with, as far as its size says it."""
    result = call["result"]
    if call["effect"] != "read" or reference_in(result):
        return ""
    if result is None:
        return " and found nothing"
    rows = next((result[name] for name in LISTS if name in result), None) if isinstance(result, dict) else result
    if not isinstance(rows, list):
        return ""
    return " and found nothing" if not rows else " and found one" if len(rows) == 1 else f" and found {len(rows)}"


def _child(call: Mapping[str, Any]) -> str | None:
    """The run of another agent that a call gave a task to."""
    result = call["result"]
    return result.get("run_id") if call["tool"] == "task_delegate" and isinstance(result, dict) else None
