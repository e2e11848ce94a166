"""ElevenLabs lists conversations by their start; what was said is read of each that has not been told of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.tool_gateway.webhooks.polling.step import Desk, Listing, NotNow, items

LIST, ONE = "elevenlabs_list_conversations", "elevenlabs_get_conversation"
KIND = "post_call_transcription"
OVERLAP_SECONDS = 3 * 3600.0  # longer than a conversation and the writing of its transcript take
DONE = "done"


async def conversations(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Newest first."""
    rows: list[Any] = []
    between = {"call_start_after_unix": int(since.timestamp()), "call_start_before_unix": int(until.timestamp())}
    cursor: dict[str, str] = {}
    for _ in range(pages):
        answer = await desk.ask(LIST, {**between, "page_size": 100, **cursor})
        rows += items(answer, "conversations")
        if not answer.get("has_more") or not answer.get("next_cursor"):
            return await _told(desk, rows[::-1])
        cursor = {"cursor": str(answer["next_cursor"])}
    return None


async def _told(desk: Desk, rows: list[Any]) -> list[Any]:
    found: list[Any] = [row for row in rows if _id(row) is None]  # to be set aside
    ended = [key for row in rows if (key := _id(row)) is not None and row.get("status") == DONE]
    known = await desk.known("/elevenlabs", [f"{key}:{KIND}" for key in ended])
    for key in ended:
        if f"{key}:{KIND}" not in known and (said := await _one(desk, key)) is not None:
            found.append({"type": KIND, **_ended_at(said), "data": said})
    return found


async def _one(desk: Desk, key: str) -> Any:
    """What was said; None when the conversation has been deleted meanwhile."""
    try:
        return await desk.ask(ONE, {"conversation_id": key})
    except NotNow as error:
        if error.status == 404:
            return None
        raise


def _id(row: Any) -> str | None:
    found = row.get("conversation_id") if isinstance(row, dict) else None
    return found if isinstance(found, str) and found else None


def _ended_at(said: Any) -> dict[str, int]:
    times = said.get("metadata") if isinstance(said, dict) else None
    began, lasted = (
        (times.get(name) for name in ("start_time_unix_secs", "call_duration_secs"))
        if isinstance(times, dict)
        else (None, None)
    )
    return {"event_timestamp": began + lasted} if isinstance(began, int) and isinstance(lasted, int) else {}


LISTS = {"conversations": Listing(conversations, overlap_seconds=OVERLAP_SECONDS)}
