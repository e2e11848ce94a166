"""How much is taken from a queue at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from shared.batches import FAIR_SHARE, fairly, next_batch


@dataclass
class Piece:
    size: int


@pytest.mark.parametrize(
    ("sizes", "expected"), [([1], [1]), ([1, 1, 1, 1], [1, 1, 1]), ([9, 9, 9], [9, 9]), ([50, 1], [50])]
)
async def test_so_many_and_so_large(sizes: list[int], expected: list[int]) -> None:
    queue: asyncio.Queue[Piece] = asyncio.Queue()
    for size in sizes:
        queue.put_nowait(Piece(size))
    assert [one.size for one in await next_batch(queue, most=3, most_bytes=10)] == expected
    assert queue.qsize() == len(sizes) - len(expected)


@pytest.mark.parametrize("count", [0, 1, FAIR_SHARE, 3 * FAIR_SHARE + 1])
async def test_others_have_their_turn_during_a_long_batch(count: int) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert [item async for item in fairly(range(count))] == list(range(count))
    beside.cancel()
    assert turns == count // FAIR_SHARE
