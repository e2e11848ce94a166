"""`viox take-over` and `viox give-back`: a person answers in a conversation, and agents are silent in it meanwhile."""

from __future__ import annotations

from typing import Any

from shared.errors import VioxError
from shared.store.acting import acting
from viox import deployment, output


async def take_over(conversation: str, agent: str | None, by: str | None, *, as_json: bool) -> None:
    """Raises BadInput for somebody who is nobody of VIOX_PEOPLE, NotFound for a conversation that there is not, Conflict where
    somebody else has it."""
    from shared.operations import conversations

    person = deployment.people().named(by)
    pool = await deployment.pool()
    try:
        await conversations.take_over(pool, conversation, agent, person)
    finally:
        await pool.close()
    _tell(conversation, agent, person.name, as_json=as_json)


async def give_back(conversation: str, agent: str | None, by: str, *, as_json: bool) -> None:
    """What came meanwhile is worked on. Raises Conflict when nobody has it."""
    from shared.operations import conversations

    pool = await deployment.pool()
    try:
        with acting(by):
            await conversations.give_back(pool, conversation, agent)
    finally:
        await pool.close()
    _tell(conversation, agent, None, as_json=as_json)


async def held() -> list[dict[str, Any]] | None:
    """What is held up, by whom, since when: pauses, and conversations that people have. None when Postgres does not say."""
    from asyncpg import PostgresError

    from shared.operations import conversations

    try:
        pool = await deployment.pool()
    except (VioxError, OSError):
        return None
    try:
        return await conversations.held(pool)
    except (PostgresError, OSError):  # its tables are being made, or it goes down
        return None
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


def _tell(conversation: str, agent: str | None, by: str | None, *, as_json: bool) -> None:
    document: dict[str, Any] = {"conversation_id": conversation, "agent": agent, "taken_by": by}
    if as_json:
        output.emit(document)
    elif by:
        output.say(f"{by} has {conversation}; {agent or 'every agent'} is silent in it until `viox give-back`")
    else:
        output.say(f"{agent or 'every agent'} goes on in {conversation}, with what came meanwhile")
