"""A call: its checks and the rule behind each, the exact request and answer of every attempt, and the last one of its kind."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console import curl, shown, tracing
from services.console.forms import may_read, who
from services.console.views import page
from shared.bus.topics import AGENTS
from shared.errors import BadInput
from shared.operations import approvals, archived, identify, overview, paging, payloads, proofs, store, story

ROWS = 100
_QUOTED = re.compile(r"""['"`“/.]([A-Za-z_]\w*)['"`”]|\b([A-Za-z_]\w*):""")  # how errors name a field


async def listing(request: Request) -> Response:
    console, given = request.app.state.console, request.query_params
    state = given.get("state") or None
    if state and state not in store.CALL_STATES:
        raise BadInput("filter.unknown", f"{state!r} is no state.", field="state")
    kept = {
        key: value for key, value in given.items() if key in ("agent", "tool", "state", "since", "failed") and value
    }
    items, following = await _listed(console.pool, kept, given.get("cursor") or None)
    content = who(request).reads
    return await page(
        request,
        "calls.html",
        "runs",
        "Calls",
        items=[
            one | {"sentence": story.sentence(one["agent"], one | {"vendor": None}, content=content)} for one in items
        ],
        more=f"/calls?{urlencode({**kept, 'cursor': following})}" if following else None,
        given=kept,
        agents=AGENTS,
        states=store.CALL_STATES,
    )


async def _listed(pool: Any, kept: dict[str, str], cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Of one tool and nothing else by an index of its own: a tool that is seldom used would be looked for long."""
    if set(kept) == {"tool"}:
        return await overview.calls_of_tool(pool, kept["tool"], cursor, ROWS)
    return await store.calls(
        pool,
        agent=kept.get("agent"),
        tool=kept.get("tool"),
        state=kept.get("state"),
        since=paging.parse_moment(kept.get("since"), field="since"),
        run_id=None,
        cursor=cursor,
        limit=ROWS,
        failed="failed" in kept,
    )


async def call(request: Request) -> Response:
    values = await call_values(request, request.path_params["call_id"])
    document = values["document"]
    title = f"{document['tool']} of {document['agent']}"
    return await page(
        request,
        "call.html",
        "runs",
        title,
        live={"of": document["run_id"], "after": await overview.pulse(request.app.state.console.pool)}
        if document["closed_at"] is None
        else None,
        call=values,
        embedded=False,
    )


async def call_values(request: Request, given: str) -> dict[str, Any]:
    """What is shown of a call; of its content nothing to those who may not read it."""
    console, person = request.app.state.console, who(request)
    pool = console.pool
    call_id = await identify.call(pool, given)
    document = await store.call(pool, call_id)
    reads = person.reads
    row = document | {"attempt": document["attempts"], "vendor": None}
    last = await overview.last_alike(pool, document)
    return {
        "document": document,
        "reads": reads,
        "sentence": story.sentence(document["agent"], row, content=reads),
        "why": _why(document, reads),
        "attempts": [_attempt(one) for one in document["attempts_detail"]] if reads else [],
        "other": [one for one in document["ledger"] if one["phase"] in ("look_up", "settled", "incident", "approval")],
        "reference": payloads.reference_in(document["result"]),
        "last": last,
        "difference": _difference(last["arguments"], document["arguments"]) if last and reads else [],
        "approval": await _approval(pool, document),
        "acts": await console.sessions.acts(call_id),
        "archived": await archived.of_call(pool, call_id),
        "trace": await tracing.of_run(console, document),
        "sequenced": await proofs.sequenced(pool, call_id),
        "marked_arguments": shown.marked(document["arguments"], _blamed(document)) if reads else "",
    }


def _why(document: dict[str, Any], reads: bool) -> str:
    error = document["error"] or {}
    if not error:
        return ""
    return f"{error.get('message', '')} {error.get('remedy') or ''}".strip() if reads else str(error.get("code", ""))


async def _approval(pool: Any, document: dict[str, Any]) -> dict[str, Any] | None:
    if not document["approval_id"]:
        return None
    return approvals.document(await approvals.named(pool, document["approval_id"]))


def _attempt(one: dict[str, Any]) -> dict[str, Any]:
    """One attempt with its bytes ready to be shown."""
    request, response = one.get("request"), one.get("response")
    return {
        "attempt": one["attempt"],
        "request": request and request | {"content": shown.decoded(request["body_base64"])},
        "response": response and response | {"content": shown.decoded(response["body_base64"])},
        "curl": curl.of(request) if request and curl.speaks(request) else "",
        "detail": one.get("detail"),
    }


def _blamed(document: dict[str, Any]) -> tuple[str, ...]:
    """Names of arguments that the error speaks of: their lines are marked."""
    error = document["error"] or {}
    told = " ".join(str(error.get(part) or "") for part in ("message", "detail", "field"))
    quoted = {name for pair in _QUOTED.findall(told) for name in pair if name}
    return tuple(name for name in _names(document["arguments"]) if name in quoted)


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name for key, inner in value.items() for name in (str(key), *_names(inner))]
    return [name for inner in value for name in _names(inner)] if isinstance(value, list) else []


def _difference(before: Any, now: Any) -> list[tuple[str, str]]:
    """(mark, line) of the arguments against those of the last call of its kind; nothing where they are the same."""
    old, new = (json.dumps(one, indent=2, ensure_ascii=False, sort_keys=True).splitlines() for one in (before, now))
    if old == new or len(old) + len(new) > 4_000:
        return []
    return [(line[0], line[2:]) for line in difflib.ndiff(old, new) if line[0] in "+- "]


async def body(request: Request) -> Response:
    """The whole result, or the last answer, as a file."""
    may_read(request)
    pool = request.app.state.console.pool
    document = await store.call(pool, await identify.call(pool, request.path_params["call_id"]))
    content = await payloads.body(pool, document)
    name = f"{document['call_id']}.bin"
    return Response(
        content,
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


ROUTES = [Route("/calls", listing), Route("/calls/{call_id}", call), Route("/calls/{call_id}/body", body)]
