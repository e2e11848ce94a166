"""Work taken many pieces at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar

FAIR_SHARE = 16


class Sized(Protocol):
    """A piece of work with its size in bytes."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Sized)
Item = TypeVar("Item")


async def fairly(items: Iterable[Item]) -> AsyncIterator[Item]:
    """One after the other, and now and then others on the loop get their turn: a batch may take long, and callers wait."""
    for number, item in enumerate(items, 1):
        yield item
        if number % FAIR_SHARE == 0:
            await asyncio.sleep(0)


async def next_batch(queue: asyncio.Queue[T], most: int, most_bytes: int) -> list[T]:
    """What waits, oldest first: at least one piece, at most so many, and none after so many bytes."""
    batch = [await queue.get()]
    size = batch[0].size
    while not queue.empty() and len(batch) < most and size < most_bytes:
        batch.append(queue.get_nowait())
        size += batch[-1].size
    return batch
