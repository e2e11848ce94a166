"""Settling calls with outcome unknown, in a person's name."""

from __future__ import annotations

from typing import Any

import orjson

from shared.bus.topics import MAX_INLINE_BYTES
from shared.errors import BadInput
from shared.operations import store


def result_of(given: str | None, field: str = "--result") -> Any:
    """A result as a person typed it, for the agent to go on with. Raises BadInput."""
    if given is None:
        return None
    if len(given.encode()) > MAX_INLINE_BYTES:
        raise BadInput(
            "option.invalid",
            f"{len(given.encode()):,} bytes are more than a result may have, {MAX_INLINE_BYTES:,}.",
            field=field,
            remedy="Say what the agent needs to go on with.",
        )
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            "option.invalid", f"not JSON: {error}.", field=field, remedy='For instance \'{"id": "12"}\'.'
        ) from error


def check_end(end: str) -> None:
    """Raises BadInput when it is not how a call can have ended."""
    if end not in ("succeeded", "failed"):
        raise BadInput("option.invalid", f"{end!r} is not an end.", field="--as", remedy="Use succeeded or failed.")


async def settle(pool: Any, call_id: str, end: str, result: Any, by: str) -> dict[str, Any]:
    """Say what happened; the run goes on. Raises BadInput, NotFound or Conflict."""
    check_end(end)
    return await store.settle(pool, call_id, end, result, by)
