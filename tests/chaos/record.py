"""Questions to a Postgres that is killed now and then: asked again until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from shared.errors import Unavailable
from shared.store.pool import Pool, is_transient
from shared.waiting import within

BACK_WITHIN_SECONDS = 60.0
ANSWERED_WITHIN_SECONDS = 20.0
T = TypeVar("T")


class Record:
    """The tables of a stack under fire."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @classmethod
    async def of(cls, dsn: str) -> Record:
        return cls(
            await asyncpg.create_pool(dsn, min_size=0, max_size=3)
        )  # or it would hold on to one, and log that it cannot

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        return list(await patiently(lambda: self.pool.fetch(statement, *values)))

    async def fetchval(self, statement: str, *values: Any) -> Any:
        return await patiently(lambda: self.pool.fetchval(statement, *values))

    async def close(self) -> None:
        await self.pool.close()


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What it returns, once Postgres is there. Raises what it raised when that stays so."""
    deadline = asyncio.get_running_loop().time() + BACK_WITHIN_SECONDS
    while True:
        try:
            return await within(ANSWERED_WITHIN_SECONDS, ask())
        except Exception as error:
            passing = is_transient(error) or isinstance(error, Unavailable)
            if not passing or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
