"""Giving an agent a task, as a person: accepted means a row in Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from shared.bus import topics
from shared.bus.envelope import check_conversation
from shared.bus.messages import task
from shared.errors import BadInput
from shared.ids import run_id
from shared.operations import store


async def give(pool: Any, agent: str, text: str, conversation: str | None, source: str = store.CLI_SOURCE) -> UUID:
    """The id of the run that the task becomes. Raises BadInput for a text that no agent can read."""
    check(text, conversation)
    message = task(agent, str(uuid4()), source, text, {}, datetime.now(UTC), conversation)
    async with pool.acquire() as connection, connection.transaction():
        await store.accept(connection, topics.tasks(agent), message, [agent])
    return run_id(agent, message.source, message.id)


def check(text: str, conversation: str | None) -> None:
    """Raises BadInput for a text or conversation key that no agent can read."""
    if "\x00" in text or not _is_unicode(text + (conversation or "")):
        raise BadInput("task.unreadable", "the text is not valid Unicode.", field="TEXT", remedy="Send UTF-8 text.")
    if not text.strip():
        raise BadInput("task.empty", "the task is empty.", field="TEXT", remedy="Say what is to be done.")
    check_conversation(conversation)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
