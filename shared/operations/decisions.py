"""What people do with approvals. Command line and console come here; `decide_approval` in Postgres has the last word.

A decision is bound to what the person was shown: the digest of the arguments goes with it, and is refused when others stand
there by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from shared.errors import BadInput, Conflict, NotFound, VioxError
from shared.models.port import sha256_json
from shared.people import Person
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("decisions.sql"))
LONGEST_REASON = 2_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What calls have in common that one agreement covers."""

    counterparties: tuple[str, ...]
    currency: str | None
    amount: int | None
    sha256: str | None


class Sensitive(Protocol):
    def any_in(self, arguments: Mapping[str, Any], /) -> bool: ...


class Tool(Protocol):
    """What has to be known of a tool before a person puts other arguments in the place of an agent's."""

    @property
    def redact_arguments(self) -> Sensitive: ...
    def problem_with(self, arguments: Mapping[str, Any], /) -> Mapping[str, Any] | None: ...


async def approve(
    connection: Any, approval: Mapping[str, Any], person: Person, changed: Mapping[str, Any] | None, tool: Tool | None
) -> str:
    """Agree to a call, or to it with other arguments. Returns `approved`, or `counted` when more people have to agree.

    `approval` is the row that the person was shown, `tool` its tool where `changed` is given. The gateway judges once more
    before it sends. Raises BadInput for arguments that do not fit, Conflict when it is too late.
    """
    if changed is not None and not approval["question"]:
        _check(changed, tool, approval)
    seen = sha256_json(dict(changed)) if changed is not None else approval["arguments_sha256"]
    return await _decide(connection, approval, person, "approve", seen, changed, None, None)


async def give(
    connection: Any, approval: Mapping[str, Any], person: Person, shape: Shape | None, calls: int, until: datetime
) -> str:
    """Agree to calls of the shape of one that this person has just agreed to alone; None where its tool is gone.

    Returns the id of the standing approval. Raises Conflict where more than one person has to agree each time.
    """
    if shape is None:
        raise BadInput("tool.not_found", f"{approval['tool']} is not in the catalogue any more.", field="ID")
    name = f"std_{uuid4().hex[:20]}"
    bound = SQL.bind(
        "give",
        standing=name,
        approval=approval["approval_id"],
        person=person.name,
        parties=list(shape.counterparties),
        currency=shape.currency,
        most=shape.amount,
        exactly=shape.sha256,
        calls=calls,
        until=until,
    )
    if not await connection.fetchval(*bound):
        raise Conflict(
            "approval.not_repeatable",
            f"{approval['approval_id']} was not agreed to by {person.name} alone.",
            field="--times",
            remedy="Such calls are decided one by one.",
        )
    return name


async def revoke(connection: Any, standing: str, person: Person) -> None:
    """Calls of that shape wait again. Raises Conflict when there is none to revoke."""
    if not await connection.fetchval(*SQL.bind("revoke", standing=standing, person=person.name)):
        raise Conflict("approval.not_standing", f"{standing} is revoked, or there is none.", field="ID")


async def reject(connection: Any, approval: Mapping[str, Any], person: Person, reason: str) -> str:
    """Refuse a call for good. The agent is told the reason."""
    why = _reason(reason, "--reason")
    error = {
        "code": "approval.rejected",
        "message": f"{person.name} refused it: {why}",
        "remedy": "Do not ask again; go on without it, and say so.",
    }
    return await _decide(connection, approval, person, "reject", None, None, why, error)


async def answer(connection: Any, approval: Mapping[str, Any], person: Person, text: str) -> str:
    """Answer in the tool's place: the call is not made, and this is its result. Of a question it is what was asked for.

    Raises BadInput where it is none of the question's choices.
    """
    given, result = _reason(text, "TEXT"), dict[str, Any]()
    if approval["question"]:
        result = {"answer": chosen(given, approval["choices"]), "by": person.name}
    else:
        result = {"answer": given, "answered_by": person.name, "note": "The tool was not called."}
    return await _decide(connection, approval, person, "answer", None, None, None, result)


async def _decide(
    connection: Any,
    approval: Mapping[str, Any],
    person: Person,
    verdict: str,
    seen: str | None,
    changed: Mapping[str, Any] | None,
    reason: str | None,
    value: Any,
) -> str:
    came = await connection.fetchval(
        *SQL.bind(
            "decide",
            approval=approval["approval_id"],
            person=person.name,
            verdict=verdict,
            seen=seen,
            changed=dict(changed) if changed is not None else None,
            why=reason,
            value=value,
        )
    )
    if problem := _problem(came, approval, person):
        raise problem
    return str(came)


def _problem(came: str, approval: Mapping[str, Any], person: Person) -> VioxError | None:
    name = approval["approval_id"]
    if came == "unknown":
        return NotFound("approval.not_found", f"there is no {name}.", field="ID", remedy="See `viox approvals`.")
    told = {
        "decided": (f"{name} has been decided already.", f"See `viox call {approval['call_id']}`."),
        "expired": (f"{name} has expired.", "Have the agent ask again."),
        "changed": (f"somebody changed the arguments of {name} meanwhile.", "Look at it again."),
        "question": (f"{name} is a question: there is nothing to agree to.", f"Answer it: viox answer {name} TEXT."),
        "choice": (f"{name} has other answers.", f"One of: {', '.join(approval['choices'] or ())}."),
        "begun": (f"{name} is about a call that has been sent once: its arguments stay.", "Agree to it, or reject it."),
        "repeated": (f"{person.name} has agreed already.", "Somebody else has to agree, too."),
    }
    if came not in told:
        return None
    message, remedy = told[came]
    return Conflict(f"approval.{came}", message, field="ID", remedy=remedy)


def _check(changed: Mapping[str, Any], tool: Tool | None, approval: Mapping[str, Any]) -> None:
    if tool is None:
        raise BadInput("tool.not_found", f"{approval['tool']} is not in the catalogue any more.", field="--args")
    if tool.redact_arguments.any_in(changed):
        raise BadInput(
            "approval.sensitive",
            f"arguments of {approval['tool']} are sensitive: what you put in their place would be on record.",
            field="--args",
            remedy="Reject it with a reason, and have the agent ask again.",
        )
    if problem := tool.problem_with(changed):
        raise BadInput("approval.invalid_arguments", problem["message"], field="--args", remedy="Correct them.")


def _reason(text: str, field: str) -> str:
    given = text.strip()
    if not given or len(given) > LONGEST_REASON:
        raise BadInput("option.invalid", f"1 to {LONGEST_REASON:,} characters are needed.", field=field)
    return given


def chosen(answer: str, choices: Sequence[str] | None) -> str:
    """The answer as the choices have it. Raises BadInput for one that is none of them."""
    if choices is None:
        return answer
    for choice in choices:
        if choice.casefold().strip() == answer.casefold().strip():
            return choice
    raise BadInput(
        "answer.no_choice",
        f"{answer!r} is none of the answers that are of use.",
        field="TEXT",
        remedy=f"One of: {', '.join(choices)}.",
    )
