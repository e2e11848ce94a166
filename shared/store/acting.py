"""Who acts: what a person changes is on record with their name, also where the changed row has no column for it.

A pool that is opened for people (`open_pool(..., for_people=True)`) tells Postgres the name with each connection it lends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_person: ContextVar[str | None] = ContextVar("person", default=None)


@contextmanager
def acting(person: str) -> Iterator[None]:
    """What is changed in here is changed by this person."""
    before = _person.set(person)
    try:
        yield
    finally:
        _person.reset(before)


async def tell(connection: Any) -> None:
    """Say who acts, on a connection that is about to be used."""
    if person := _person.get():
        await connection.execute("select set_config('viox.person', $1, false)", person)


async def forget(connection: Any) -> None:
    """What was told, on a connection that is given back."""
    if _person.get():
        await connection.execute("select set_config('viox.person', '', false)")
