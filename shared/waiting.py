"""Waiting for so long at most.

`asyncio.wait_for` loses a cancellation that comes in the very moment in which what it waits for happens (before Python
3.12, python/cpython#86296): a loop that is stopped then runs on for ever, and whoever waits for its end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, awaited: Awaitable[T]) -> T:
    """Its result. Raises TimeoutError when it takes longer."""
    async with asyncio.timeout(seconds):
        return await awaited
