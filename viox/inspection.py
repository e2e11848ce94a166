"""Commands that look: runs, calls, tools, replay, graphs."""

from __future__ import annotations

import base64
import textwrap
from datetime import datetime
from typing import Any

from shared.operations import archived, family, identify, payloads, sentences, store, story, titles, words
from shared.runs import timestamp
from viox import deployment, output, retention
from viox.agents import spec_of


async def show_runs(
    agent: str | None,
    status: str | None,
    since: datetime | None,
    cursor: str | None,
    limit: int,
    *,
    failed: bool,
    as_json: bool,
) -> None:
    pool = await deployment.pool()
    try:
        items, following = await store.runs(
            pool, agent=agent, status=status, since=since, cursor=cursor, limit=limit, failed=failed
        )
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, following))
        return
    rows = [
        (
            i["run_id"],
            i["agent"],
            words.run_end(i),
            i["trigger"]["type"],
            i["tool_calls"],
            _second(i["started_at"]),
            _line(i["text"] or (i["error"] or {}).get("message")),
        )
        for i in items
    ]
    nothing = "no runs that failed" if failed else "no runs like that" if agent or status or since else "no runs yet"
    output.table(["run", "agent", "status", "trigger", "calls", "started", "text"], rows, empty=nothing)
    output.more(following)


async def show_run(given: str, *, as_json: bool, by_step: bool = False) -> None:
    pool = await deployment.pool()
    try:
        run_id = await identify.run(pool, given)
        document = await store.run(pool, run_id)
        document["trace_id"] = await store.trace_of(pool, run_id, document["agent"])
        steps, calls = await store.story(pool, run_id, document["agent"])
        asked = await pool.fetch(store.SQL["approvals_of_run"], run_id, document["agent"])
        related = await family.family(pool, run_id)
        gone = await archived.of_run(pool, run_id, document["agent"])
    finally:
        await pool.close()
    if as_json:
        output.emit(document | {"archived": gone and gone.document()})
        return
    if by_step:
        _tell(document, steps, {c["call_id"]: c for c in calls}, asked)
    else:
        _tell_story(document, steps, calls, asked)
    if gone:
        _tell_archived(gone, "steps", document["run_id"])
    if tree := family.lines(related, document["run_id"]):
        output.say("\ntasks that agents gave each other:\n" + "\n".join(tree))


def _tell_story(run: dict[str, Any], steps: list[Any], calls: list[Any], asked: list[Any]) -> None:
    """Plain sentences, each with its time; what was slow or did not go well has the machine's words and the call below it."""
    say, tokens = output.say, run["tokens"]
    began = next(
        (step["body"] for step in steps if step["kind"] == "trigger"), {"type": run["trigger"]["type"], "data": {}}
    )
    say(titles.title(began["type"], began["data"]))
    took = f"{run['tool_calls']} calls, {tokens['input'] + tokens['output']} tokens, {run['cost_usd']:.4f} USD"
    say(f"{sentences.agent_name(run['agent'])}, {words.run_end(run)}, {took}; run {run['run_id']}")
    if run["merged_into"]:
        say(f"joined run {run['merged_into']}, which was active in this conversation")
    say()
    for line in story.story(run, steps, calls):
        say(f"{str(timestamp(line.at))[11:19]}  {line.text}")
        if line.call and line.calls == 1:
            say(f"          {line.detail}  ({_short(line.call)})")
    for approval in (one for one in asked if one["state"] == "waiting"):
        for text in _approval_lines(approval):
            say("          " + text)
    for waiting in run["waiting_for"]:
        say(f"\nwaits for {words.waits_for(waiting)}")
    if run["error"]:
        say(f"\n{run['error']['code']}: {run['error']['message']} {run['error'].get('remedy') or ''}")
    say(f"\neach step: viox run {run['run_id'][:8]} --steps")
    if run.get("trace_id"):
        say(f"trace: {run['trace_id']}")


def _tell_archived(gone: archived.Archived, table: str, of: str) -> None:
    """Where the contents are that are not shown, and how they are read."""
    output.say(f"\n{gone.sentence}")
    output.say(f"read it with: {gone.read_with(table, of, str(retention.folder()))}")


def _short(call: str) -> str:
    """So much of a call's id as `viox call` needs."""
    run, step, index = call.rsplit(".", 2)
    return f"{run[:8]}.{step}.{index}"


def _tell(run: dict[str, Any], steps: list[Any], calls: dict[str, Any], asked: list[Any]) -> None:
    say = output.say
    say(f"run {run['run_id']}  {run['agent']}  {words.run_end(run)}  conversation {run['conversation_id']}")
    tokens = run["tokens"]
    say(f"model {run['model'] or '-'}  {tokens['input']} + {tokens['output']} tokens  {run['cost_usd']:.6f} USD")
    say(f"from {run['started_at']} to {run['finished_at'] or 'now'}  trace {run.get('trace_id') or '-'}")
    if run["merged_into"]:
        say(f"joined run {run['merged_into']}, which was active in this conversation")
    for step in steps:
        say()
        say(f"{step['step']:>3}  {step['kind']:<10} {timestamp(step['created_at'])}")
        for line in _step_lines(step["kind"], step["body"], run["run_id"], step["step"], calls):
            say("     " + line)
        for approval in asked if step["kind"] in ("model", "plan") else ():
            if approval["call_id"].rsplit(".", 2)[1] == str(step["step"]):
                for line in _approval_lines(approval):
                    say("     " + line)
    for call in calls.values():
        if call["live"]:
            _tell_live(dict(call), [one for one in asked if one["call_id"] == call["call_id"]])
    for waiting in run["waiting_for"]:
        say(f"\nwaits for {words.waits_for(waiting)}")
    if run["error"]:
        say(f"\n{run['error']['code']}: {run['error']['message']} {run['error'].get('remedy') or ''}")


def _approval_lines(approval: Any) -> list[str]:
    """Why people were asked, who was told, and what they decided."""
    lines = [
        f"? {approval['tool']} waits for {words.people(approval['people'])} because {'; '.join(approval['reasons'])}",
        f"  {approval['approval_id']}, until {timestamp(approval['expires_at'])}; policies {', '.join(approval['rules']) or '-'}",
        f"  told: {'; '.join(approval['told']) or 'nobody yet'}",
    ]
    if approval["state"] == "waiting":
        return [*lines, f"  agreed: {', '.join(approval['agreed'])}"] if approval["agreed"] else lines
    by = f" by {', '.join(approval['decided_by'])}" if approval["decided_by"] else ""
    changed = approval["arguments_sha256"] != approval["asked_sha256"]
    lines.append(f"  {words.APPROVAL_STATES[approval['state']]}{by} {timestamp(approval['decided_at'])}")
    lines += [f"  reason: {_line(approval['reason'], 300)}"] if approval["reason"] else []
    return [*lines, f"  with other arguments: {_line(approval['arguments'], 300)}"] if changed else lines


def _tell_live(call: dict[str, Any], asked: list[Any]) -> None:
    """A call that no step of the run tells of: its caller asked for it over HTTP."""
    output.say()
    output.say(f"{call['step']:>3}  {'call':<10} {timestamp(call['created_at'])}")
    output.say(f"     → {call['tool']}({_line(call['arguments'], 200)})")
    for line in (line for approval in asked for line in _approval_lines(approval)):
        output.say("     " + line)
    output.say("     " + _result_line(call, {call["call_id"]: call}))


def _step_lines(kind: str, body: dict[str, Any], run: str, number: int, calls: dict[str, Any]) -> list[str]:
    match kind:
        case "trigger":
            return [f"{body['type']} from {body['source']}", _line(body["data"], 300)]
        case "note" | "outcome":
            return [_line(body["text"], 600)]
        case "plan":
            return [f"{body['node']} (the role's rules)", *_asked_lines(body, run, number, calls)]
        case "ask":
            return [f"{body['node']} asks the model: {body['question']}", _line(body["text"], 600)]
        case "fork":
            return [_forked(body)]
        case "record":
            return [f"keeps {name}: {_line(value, 300)}" for name, value in body["values"].items()]
        case "model":
            usage = body["usage"]
            head = [f"{body['model']} in {body['latency_ms']} ms, {usage['input']} + {usage['output']} tokens"]
            text = [_line(body["text"], 600)] if body["text"] else []
            return head + text + _asked_lines(body, run, number, calls)
        case "results":
            return [_result_line(r, calls) for r in body["results"]]
        case _:
            return [_line(body)]


def _forked(body: dict[str, Any]) -> str:
    """What a fork changed."""
    changed = [f"model {body['model']}"] if "model" in body else []
    changed += ["another prompt"] if "prompt" in body else []
    changed += [f"another prompt of {name}" for name in body.get("questions", ())]
    changed += [f"another step {step}" for step in body.get("edited", [])]
    return f"forked by {body['by']} from run {body['of']}, with {', '.join(changed) or 'nothing changed'}"


def _asked_lines(body: dict[str, Any], run: str, number: int, calls: dict[str, Any]) -> list[str]:
    """The calls of a plan or a turn. What is sensitive stands in the agent's own record, and is shown as the call's row has it."""
    rows = [calls.get(f"{run}.{number}.{index}") for index in range(len(body["calls"]))]
    shown = [row["arguments"] if row else c["arguments"] for c, row in zip(body["calls"], rows, strict=True)]
    return [f"→ {c['tool']}({_line(one, 200)})" for c, one in zip(body["calls"], shown, strict=True)]


def _result_line(result: dict[str, Any], calls: dict[str, Any]) -> str:
    row = calls.get(result["call_id"])
    took = f" {row['latency_ms']:.0f} ms" if row and row["latency_ms"] is not None else ""
    state = words.call_state({"http_status": row["http_status"] if row else None} | result)
    shown = result["result"] if result["state"] == "succeeded" else result["error"]
    if reference := payloads.reference_in(shown):
        shown = f"{reference['bytes']:,} bytes: viox payload {reference['id']}"
    told = "" if shown is None else f"  {_line(shown, 200)}"
    return f"← {result['tool']} {state}{took}{told}\n       call {result['call_id']}"


async def show_calls(
    agent: str | None,
    tool: str | None,
    state: str | None,
    since: datetime | None,
    run: str | None,
    cursor: str | None,
    limit: int,
    *,
    failed: bool,
    as_json: bool,
) -> None:
    pool = await deployment.pool()
    try:
        items, following = await store.calls(
            pool,
            agent=agent,
            tool=tool,
            state=state,
            since=since,
            run_id=await identify.run(pool, run, "--run") if run else None,
            cursor=cursor,
            limit=limit,
            failed=failed,
        )
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, following))
        return
    rows = [
        (
            i["call_id"],
            i["agent"],
            i["tool"],
            words.call_state(i),
            i["http_status"],
            f"{i['latency_ms']:.0f}" if i["latency_ms"] is not None else "",
            _line((i["error"] or {}).get("message")),
        )
        for i in items
    ]
    nothing = f"no call with {words.UNKNOWN}" if state == "unknown" else "no calls"
    output.table(["call", "agent", "tool", "state", "http", "ms", "error"], rows, empty=nothing)
    output.more(following)


async def show_call(given: str, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        document = await store.call(pool, await identify.call(pool, given))
        gone = await archived.of_call(pool, document["call_id"])
    finally:
        await pool.close()
    if as_json:
        output.emit(document | {"archived": gone and gone.document()})
        return
    say = output.say
    say(f"call {document['call_id']}  {document['agent']} → {document['tool']}  {words.call_state(document)}")
    say(f"asked {document['created_at']}, closed {document['closed_at'] or 'not yet'}")
    say(f"effect: {words.effect(document['effect'])}")
    for one in document["checks"]:
        say(f"{words.verdict(one)}  {words.check(one['check'])}{words.ruling(one)}")
    say("arguments: " + _line(document["arguments"], 2000))
    for attempt in document["attempts_detail"]:
        _tell_attempt(attempt)
    for entry in document["ledger"]:
        if entry["phase"] in ("look_up", "settled", "incident", "approval"):
            say(f"\n{words.ledger(entry['phase'], entry['detail'])} at {entry['at']}: {_line(entry['detail'], 500)}")
    if reference := payloads.reference_in(document["result"]):
        say(
            f"\nresult: {reference['bytes']:,} bytes of {reference['media_type']}, whole with: viox payload {reference['id']}"
        )
    if document["error"]:
        say("\nerror: " + _line(document["error"], 2000))
    if gone:
        _tell_archived(gone, "ledger_entries", document["call_id"])


def _tell_attempt(attempt: dict[str, Any]) -> None:
    say = output.say
    request, response = attempt.get("request"), attempt.get("response")
    say(f"\nattempt {attempt['attempt']}")
    if request:
        say(f"> {request['method']} {request['url']}   at {request['at']}")
        for name, value in request["headers"]:
            say(f"> {name}: {value}")
        _body(">", request["body_base64"])
        say(f"> sha256 {request['sha256']}")
        _tell_redacted(">", request)
    if response:
        say(f"< {response['status']}   at {response['at']}")
        for name, value in response["headers"] or []:
            say(f"< {name}: {value}")
        _body("<", response["body_base64"])
        say(f"< sha256 {response['sha256']}")
        _tell_redacted("<", response)
    elif "detail" in attempt:
        say("no complete answer came: " + _line(attempt["detail"], 500))


def _tell_redacted(mark: str, message: dict[str, Any]) -> None:
    if redacted := message.get("redacted"):
        count = redacted.get("values", "sensitive")
        what = "the body was withheld" if redacted.get("withheld") else f"{count} values were taken out"
        output.say(f"{mark} not as it travelled: {what}; sha256 of the original {redacted['original_sha256']}")


def _body(mark: str, encoded: str) -> None:
    text = base64.b64decode(encoded).decode("utf-8", "replace")
    if text:
        output.say(mark)
        for line in text.splitlines():
            output.say(f"{mark} {line}")


async def show_tools(*, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        items = await store.tools(pool)
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, None))
        return
    rows = [
        (
            i["tool"],
            i["vendor"],
            i["effect"] + (", paused" if i["paused"] else ""),
            f"{i['method']} {i['path']}",
            ", ".join([*i["granted_to"], *(f"rules of {one}" for one in i["ruled_by"])]) or "nobody",
        )
        for i in items
    ]
    nothing = "no tools yet: the gateway publishes them when it starts"
    output.table(["tool", "vendor", "effect", "operation", "granted to"], rows, empty=nothing)


async def check_tools(*, as_json: bool) -> int:
    """Read documents, imported ones too, and grants as the gateway would. Exit code 2 when an imported document does not fit.

    Raises BadInput naming file and place when one of our own is wrong.
    """
    from viox import importing, policies

    found, left_out, documents = await importing.tools()
    policy = policies.check(found)
    vendors: dict[str, list[str]] = {}
    for name in sorted(name for name in found.tools if not (found.granted_to(name) or found.ruled_by(name))):
        vendors.setdefault(found.tools[name].vendor, []).append(name)
    if as_json:
        names = None if documents is None else [document.name for document in documents]
        output.emit(
            {
                "tools": len(found.tools),
                "ungranted": sorted(name for names in vendors.values() for name in names),
                "imported": names,
                "left_out": [one.as_dict() for one in left_out],
                "policies": policy,
            }
        )
        return output.BAD_INPUT if left_out else output.OK
    output.say(f"{len(found.tools)} tools; every grant names one that is there")
    read = "no deployment runs here, so none were read" if documents is None else ", ".join(d.name for d in documents)
    output.say(f"imported documents: {read or 'none'}")
    for one in left_out:
        output.say(f"{one.document} is left out: {one.error}")
    output.say("granted to nobody:" + ("" if vendors else " none"))
    for vendor, names in vendors.items():
        output.say(textwrap.fill(", ".join(names), 120, initial_indent=f"  {vendor}: ", subsequent_indent="    "))
    policies.tell(policy)
    return output.BAD_INPUT if left_out else output.OK


def mermaid(agent: str) -> str:
    drawn: str = spec_of(agent).graph().drawing().draw_mermaid()
    return drawn


def _second(moment: str | None) -> str:
    """RFC 3339 to the second."""
    return f"{moment[:19]}Z" if moment else ""


def _line(value: Any, width: int = 100) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        import orjson

        value = orjson.dumps(value).decode()
    flat = " ".join(value.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
