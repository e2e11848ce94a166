"""Conversations that people take over from agents, and what is paused: who holds what up, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.bus import topics
from shared.errors import BadInput, Conflict, NotFound
from shared.ids import thread_id
from shared.operations import store
from shared.operations.store import SQL
from shared.runs import timestamp

if TYPE_CHECKING:
    from shared.people import Person


def scope(conversation: str, agent: str | None) -> str:
    """The pause that silences a conversation: of one agent, or of all of them."""
    return f"thread:{thread_id(agent, conversation)}" if agent else f"conversation:{conversation}"


async def take_over(pool: Any, conversation: str, agent: str | None, person: Person) -> None:
    """Raises NotFound for a conversation that there is not, Conflict where somebody else has it."""
    from shared.bus.envelope import check_conversation

    check_conversation(conversation)
    threads = [thread_id(one, conversation) for one in ([agent] if agent else topics.AGENTS)]
    if not await pool.fetchval(SQL["any_run_of"], threads):
        raise NotFound(
            "conversation.not_found",
            f"{agent or 'no agent'} has {'no ' if agent else 'a '}conversation {conversation!r}.",
            field="CONVERSATION",
            remedy="`viox runs --json` has the conversation_id of each run.",
        )
    (row,) = await pool.fetch(SQL["take_over"], scope(conversation, agent), person.name)
    if row["paused_by"] != person.name:
        raise Conflict(
            "conversation.taken",
            f"{row['paused_by']} has it since {timestamp(row['paused_at'])}.",
            field="CONVERSATION",
            remedy="`viox give-back` first.",
        )


async def give_back(pool: Any, conversation: str, agent: str | None) -> None:
    """What came meanwhile is worked on. Raises Conflict when nobody has it."""
    if await pool.fetchval(SQL["give_back"], scope(conversation, agent)) is None:
        raise Conflict(
            "conversation.not_taken",
            f"nobody has taken over {conversation!r}{f' from {agent}' if agent else ''}.",
            field="CONVERSATION",
            remedy="Say --agent as it was taken.",
        )


async def held(pool: Any) -> list[dict[str, Any]]:
    """What is held up: pauses, and conversations that people have."""
    return [_document(row) for row in await pool.fetch(SQL["pauses"])]


def pause_scope(given: str) -> str:
    """What people type for a pause: an agent, a tool, vendor:NAME or all."""
    if given == "all" or given.startswith("vendor:"):
        return given
    agent = topics.canonical_agent(given)
    return f"agent:{agent}" if agent else f"tool:{given}"


async def pause(pool: Any, given: str, by: str) -> str:
    """Stop an agent, a tool, a vendor, or all. Returns the scope. Raises BadInput for what there is not."""
    named = await _known(pool, given)
    await pool.execute(SQL["pause"], named, by)
    return named


async def resume(pool: Any, given: str) -> str:
    """Let it go on. Returns the scope. Raises BadInput for what there is not."""
    named = await _known(pool, given)
    await pool.execute(SQL["resume"], named)
    return named


async def _known(pool: Any, given: str) -> str:
    named = pause_scope(given)
    kind, _, name = named.partition(":")
    if kind in ("tool", "vendor") and name not in {one[kind] for one in await store.tools(pool)}:
        raise BadInput(
            "scope.unknown",
            f"{name!r} is neither an agent nor a tool." if kind == "tool" else f"{name!r} is no vendor.",
            field="SCOPE",
            remedy="See `viox tools` and `viox status`.",
        )
    return named


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
