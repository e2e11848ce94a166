"""How much is taken from a queue at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from shared.batches import next_batch


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
