"""Having dead letters handled again: one, or all that a filter finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from shared.errors import VioxError
from shared.operations import store


async def redrive_all(pool: Any, letters: Iterable[UUID]) -> tuple[list[str], list[dict[str, Any]]]:
    """(ids that are handled again, those that may not be and why). Raises what may pass when it is tried again."""
    redriven: list[str] = []
    refused: list[dict[str, Any]] = []
    for letter in letters:
        try:
            await store.redrive(pool, letter)
        except VioxError as error:
            if error.retryable:
                raise
            refused.append({"dead_letter_id": str(letter)} | error.as_dict())
        else:
            redriven.append(str(letter))
    return redriven, refused


async def dead(pool: Any) -> list[UUID]:
    """Every letter that nobody has had handled again."""
    return [row["dead_letter_id"] for row in await pool.fetch(store.SQL["dead_ids"])]
