"""`viox take-over` and `viox give-back`: a person answers in a conversation, and agents are silent in it meanwhile."""

from __future__ import annotations

from typing import Any

from shared.bus.envelope import check_conversation
from shared.bus.topics import AGENTS
from shared.errors import Conflict, NotFound, VioxError
from shared.ids import thread_id
from shared.runs import timestamp
from viox import deployment, output
from viox.store import SQL


def scope(conversation: str, agent: str | None) -> str:
    """The pause that silences a conversation: of one agent, or of all of them."""
    return f"thread:{thread_id(agent, conversation)}" if agent else f"conversation:{conversation}"


async def take_over(conversation: str, agent: str | None, by: str | None, *, as_json: bool) -> None:
    """Raises BadInput for somebody who is nobody of VIOX_PEOPLE, NotFound for a conversation that there is not, Conflict where
    somebody else has it."""
    check_conversation(conversation)
    person = deployment.people().named(by)
    pool = await deployment.pool()
    try:
        threads = [thread_id(one, conversation) for one in ([agent] if agent else AGENTS)]
        if not await pool.fetchval(SQL["any_run_of"], threads):
            raise NotFound(
                "conversation.not_found",
                f"{agent or 'no agent'} has {'no ' if agent else 'a '}conversation {conversation!r}.",
                field="CONVERSATION",
                remedy="`viox runs --json` has the conversation_id of each run.",
            )
        (row,) = await pool.fetch(SQL["take_over"], scope(conversation, agent), person.name)
    finally:
        await pool.close()
    if row["paused_by"] != person.name:
        raise Conflict(
            "conversation.taken",
            f"{row['paused_by']} has it since {timestamp(row['paused_at'])}.",
            field="CONVERSATION",
            remedy="`viox give-back` first.",
        )
    _tell(conversation, agent, row["paused_by"], as_json=as_json)


async def give_back(conversation: str, agent: str | None, *, as_json: bool) -> None:
    """What came meanwhile is worked on. Raises Conflict when nobody has it."""
    pool = await deployment.pool()
    try:
        by = await pool.fetchval(SQL["give_back"], scope(conversation, agent))
    finally:
        await pool.close()
    if by is None:
        raise Conflict(
            "conversation.not_taken",
            f"nobody has taken over {conversation!r}{f' from {agent}' if agent else ''}.",
            field="CONVERSATION",
            remedy="Say --agent as it was taken.",
        )
    _tell(conversation, agent, None, as_json=as_json)


async def held() -> list[dict[str, Any]] | None:
    """What is held up, by whom, since when: pauses, and conversations that people have. None when Postgres does not say."""
    try:
        pool = await deployment.pool()
    except (VioxError, OSError):
        return None
    try:
        return [_document(row) for row in await pool.fetch(SQL["pauses"])]
    finally:
        await pool.close()


def lines(pauses: list[dict[str, Any]] | None) -> list[str]:
    """For people."""
    if pauses is None:
        return ["held up   Postgres does not say"]
    return [
        f"{'taken over' if one['kind'] == 'person' else 'paused'}  {one['id']}"
        f"{' (' + one['agent'] + ')' if one['agent'] else ''} by {one['by']} since {one['since']}"
        for one in pauses
    ]


def _document(row: Any) -> dict[str, Any]:
    kind, _, rest = row["scope"].partition(":")
    taken = kind in ("conversation", "thread")
    conversation = rest if kind == "conversation" else row["conversation_id"] or rest
    return {
        "kind": "person" if taken else "paused",
        "id": conversation if taken else row["scope"],
        "agent": row["agent"] if kind == "thread" else None,
        "by": row["paused_by"],
        "since": timestamp(row["paused_at"]),
    }


def _tell(conversation: str, agent: str | None, by: str | None, *, as_json: bool) -> None:
    document: dict[str, Any] = {"conversation_id": conversation, "agent": agent, "taken_by": by}
    if as_json:
        output.emit(document)
    elif by:
        output.say(f"{by} has {conversation}; {agent or 'every agent'} is silent in it until `viox give-back`")
    else:
        output.say(f"{agent or 'every agent'} goes on in {conversation}, with what came meanwhile")
