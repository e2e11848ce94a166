"""Views of listings that a person saved: filters under a name. Nobody else sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.errors import BadInput, Conflict, NotFound
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
MOST = 30
LONGEST_NAME, LONGEST_QUERY = 60, 1_000


async def views(pool: Any, person: str, listing: str) -> list[Any]:
    """{name, query} of each, by name."""
    return list(await pool.fetch(*SQL.bind("views", person=person, listing=listing)))


async def save(pool: Any, person: str, listing: str, name: str, query: str) -> None:
    """Raises BadInput for a name or a filter that is none, Conflict when there are too many."""
    given = " ".join(name.split())
    if not 0 < len(given) <= LONGEST_NAME or not given.isprintable():
        raise BadInput("view.unnamed", f"a name of 1 to {LONGEST_NAME} characters is needed.", field="name")
    if not 0 < len(query) <= LONGEST_QUERY:
        raise BadInput(
            "view.empty", "there is no filter to save.", field="query", remedy="Choose one, and save it then."
        )
    bound = SQL.bind("save", person=person, listing=listing, name=given, query=query, most=MOST)
    if await pool.fetchval(*bound) is None:
        raise Conflict("view.too_many", f"you have {MOST} saved views.", field="name", remedy="Delete one first.")


async def forget(pool: Any, person: str, listing: str, name: str) -> None:
    """Raises NotFound."""
    if await pool.fetchval(*SQL.bind("forget", person=person, listing=listing, name=name)) is None:
        raise NotFound("view.not_found", f"you have no saved view {name!r}.", field="name")
