"""Work taken from a queue many pieces at a time."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar


class Sized(Protocol):
    """A piece of work with its size in bytes."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Sized)


async def next_batch(queue: asyncio.Queue[T], most: int, most_bytes: int) -> list[T]:
    """What waits, oldest first: at least one piece, at most so many, and none after so many bytes."""
    batch = [await queue.get()]
    size = batch[0].size
    while not queue.empty() and len(batch) < most and size < most_bytes:
        batch.append(queue.get_nowait())
        size += batch[-1].size
    return batch
