"""Approvals: what waits, each as a case file, what was decided, and what stands beforehand."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console.forms import NotAllowed, back, form_of, may_approve, who
from services.console.views import page
from shared.errors import BadInput
from shared.operations import approvals, budgets, cases, decisions, overview, store, story
from shared.people import Person

ROWS = 50
TABS = ("waiting", "decided", "standing")


async def listing(request: Request) -> Response:
    console, given = request.app.state.console, request.query_params
    tab = given.get("tab") or "waiting"
    if tab not in TABS:
        raise BadInput("tab.unknown", f"{tab!r} is no tab.", field="tab")
    content = _sees_all(who(request))
    mark = await overview.pulse(console.pool)
    items, following, standing = list[dict[str, Any]](), None, list[dict[str, Any]]()
    if tab == "standing":
        standing = [one | {"shape": approvals.shape(one)} for one in await approvals.standing(console.pool, ROWS)]
    else:
        found, following = await approvals.listed(
            console.pool,
            state="waiting" if tab == "waiting" else None,
            agent=None,
            cursor=given.get("cursor") or None,
            limit=ROWS,
        )
        items = [cases.summary(one, content=content) for one in found if tab == "waiting" or one["state"] != "waiting"]
    return await page(
        request,
        "approvals.html",
        "approvals",
        "Approvals",
        live={"of": "", "after": mark} if tab == "waiting" else None,
        tab=tab,
        items=items,
        standing=standing,
        more=f"/approvals?tab={tab}&cursor={following}" if following else None,
    )


def _sees_all(person: Person) -> bool:
    """Who decides has to see what about."""
    return person.reads or person.approves


async def case(request: Request) -> Response:
    console, person = request.app.state.console, who(request)
    pool = console.pool
    row = await approvals.named(pool, request.path_params["approval_id"])
    approval = approvals.document(row)
    content = _sees_all(person) or person.name in (row["audience"] or ())
    mark = await overview.pulse(pool, UUID(approval["run_id"]))
    run = await store.run(pool, UUID(approval["run_id"]))
    steps, calls = await overview.story_of(pool, run)
    call = next((one for one in calls if one["call_id"] == approval["call_id"]), None)
    document = await store.call(pool, approval["call_id"])
    lines = story.story(run, steps, calls, content=content)
    led = [line for line in lines if line.call != approval["call_id"]][-6:]
    waiting, _ = await approvals.listed(pool, state="waiting", agent=None, cursor=None, limit=10)
    last = await overview.last_alike(pool, document)
    return await page(
        request,
        "approval.html",
        "approvals",
        cases.headline(approval, content=content),
        live={"of": approval["run_id"], "after": mark},
        approval=approval | {"who": cases.summary(approval, content=content)["who"]},
        button=cases.button(approval, call),
        facts=cases.facts(approval["arguments"], call) if content else [],
        content=content,
        decides=person.approves or person.name in (row["audience"] or ()),
        agreed_already=person.name in approval["agreed"],
        changed=row["arguments_sha256"] != row["asked_sha256"],
        digest=row["arguments_sha256"],
        run=run,
        run_title=await overview.title(pool, run, content=content),
        led=led,
        checks_list=document["checks"],
        arguments_text=json.dumps(approval["arguments"], indent=2, ensure_ascii=False),
        call=call,
        last=last,
        budgets=cases.ceilings(await budgets.listed(pool, None, 200), approval, call, console.business.currency),
        also=[cases.summary(one, content=content) for one in waiting if one["approval_id"] != approval["approval_id"]],
        acts=await console.sessions.acts(approval["approval_id"]),
    )


async def approve(request: Request) -> Response:
    """Agree to it as it stands, or with other arguments, and with `times` or `until` to such calls that come."""
    console, form = request.app.state.console, await form_of(request)
    changed = approvals.arguments(form["arguments"], field="arguments") if form.get("arguments", "").strip() else None
    agreement = approvals.Agreement(changed, form.get("seen"), _times(form), _until(form))
    gave: list[str] = []

    async def agree(pool: Any, row: Any, person: Person) -> str:
        if agreement.changed is None and form.get("seen") != row["arguments_sha256"]:
            raise BadInput(
                "approval.changed", "the arguments are others by now.", field="seen", remedy="Look at it again."
            )
        came, standing = await approvals.approve(pool, row, person, agreement, console.gateway.look_up)
        gave.extend([standing] if standing else [])
        return came

    came = await _decide(request, "approve", agree, {"changed": changed is not None, "standing": agreement.lasting})
    return back(_path(request), "standing" if gave else came)


def _times(form: dict[str, str]) -> int | None:
    given = form.get("times", "").strip()
    if not given:
        return None
    if not given.isdecimal() or not 1 <= int(given) <= approvals.MOST_CALLS:
        raise BadInput("option.invalid", f"times: a number from 1 to {approvals.MOST_CALLS:,}.", field="times")
    return int(given)


def _until(form: dict[str, str]) -> Any:
    given = form.get("until", "").strip()
    return approvals.end(given, field="until") if given else None


async def reject(request: Request) -> Response:
    form = await form_of(request)
    reason = form.get("reason", "")
    await _decide(request, "reject", lambda pool, row, person: decisions.reject(pool, row, person, reason))
    return back(_path(request), "rejected")


async def answer(request: Request) -> Response:
    form = await form_of(request)
    text = form.get("text", "")
    await _decide(request, "answer", lambda pool, row, person: decisions.answer(pool, row, person, text))
    return back(_path(request), "answered")


async def _decide(
    request: Request, act: str, deciding: Callable[[Any, Any, Person], Awaitable[str]], detail: Any = None
) -> str:
    """As `viox approve` and its like: by somebody who may, or one of those a question was put to."""
    console, person = request.app.state.console, who(request)
    row = await approvals.named(console.pool, request.path_params["approval_id"])
    if not (person.approves or person.name in (row["audience"] or ())):
        raise NotAllowed(
            "role.needed", "this needs the role approver or owner.", field="role", remedy="Ask one of them."
        )
    came = await deciding(console.pool, row, person)
    await console.sessions.record(person.name, act, row["approval_id"], detail)
    return came


def _path(request: Request) -> str:
    return f"/approvals/{request.path_params['approval_id']}"


async def revoke(request: Request) -> Response:
    person, console = may_approve(request), request.app.state.console
    standing = request.path_params["standing_id"]
    await decisions.revoke(console.pool, standing, person)
    await console.sessions.record(person.name, "revoke", standing)
    return back("/approvals?tab=standing", "revoked")


ROUTES = [
    Route("/approvals", listing),
    Route("/approvals/{approval_id}", case),
    Route("/approvals/{approval_id}/approve", approve, methods=["POST"]),
    Route("/approvals/{approval_id}/reject", reject, methods=["POST"]),
    Route("/approvals/{approval_id}/answer", answer, methods=["POST"]),
    Route("/standing/{standing_id}/revoke", revoke, methods=["POST"]),
]
