"""Forms as browsers send them, who may send them, and where people go afterwards."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.errors import BadInput
from shared.people import Person

# What a page says at its top after something was done: fixed texts, named in the address.
DONE = {
    "approved": "Approved. Its run goes on.",
    "counted": "Your yes is counted. Somebody else has to agree, too.",
    "standing": "Approved, and such calls go by a standing approval from now on.",
    "rejected": "Rejected. The agent was told why.",
    "answered": "Answered. Its run goes on.",
    "revoked": "Revoked. Such calls wait for a person again.",
    "settled": "Settled. Its run goes on.",
    "redriven": "It is handled again.",
    "paused": "Paused.",
    "resumed": "It goes on.",
    "cancelled": "It is being cancelled.",
    "taken": "You have the conversation. Agents are silent in it until you give it back.",
    "given": "Given back. Agents go on with what came meanwhile.",
    "forgotten": "Forgotten.",
    "left": "Forgotten. What is remembered of the same person under other names was left: here it is.",
    "linked": "Confirmed. Whatever is remembered of one is found for the other.",
    "unlinked": "Kept apart from now on, whatever a record says.",
    "released": "Let in again.",
    "saved": "Saved. It stands above the list.",
    "unsaved": "The saved view is deleted.",
    "forked": "The fork is begun. It goes on from here; what does more than read waits for a person.",
    "raised": "Raised. What waits for it goes on.",
}


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; the last of those that have one name. Raises BadInput for what is no form."""
    return dict(await fields_of(request))


async def fields_of(request: Request) -> list[tuple[str, str]]:
    """All fields. Raises BadInput for what is no form."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        raise BadInput("form.unreadable", "this is no form of ours.", field="form")
    try:
        text = (await request.body()).decode()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=1_000, errors="strict")
    except ValueError as error:
        raise BadInput("form.unreadable", "the form cannot be read.", field="form") from error


def who(request: Request) -> Person:
    person: Person = request.state.person
    return person


class NotAllowed(BadInput):
    """Somebody of another role would have to do it."""


def may_operate(request: Request) -> Person:
    """Raises NotAllowed for those who only look or only approve."""
    person = who(request)
    return _allowed(person, person.operates, "this needs the role operator or owner.")


def may_approve(request: Request) -> Person:
    """Raises NotAllowed for those who do not decide."""
    person = who(request)
    return _allowed(person, person.approves, "this needs the role approver or owner.")


def may_read(request: Request) -> Person:
    """Raises NotAllowed for those who see no contents."""
    person = who(request)
    return _allowed(person, person.reads, "arguments, requests and answers are for operators, auditors and owners.")


def _allowed(person: Person, may: bool, told: str) -> Person:
    if not may:
        raise NotAllowed("role.needed", told, field="role", remedy="Ask one of them.")
    return person


def back(path: str, done: str, **more: Any) -> Response:
    """To a page, with one of the fixed texts at its top."""
    query = "&".join([f"done={done}", *(f"{name}={value}" for name, value in more.items())])
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}{query}", 303)
