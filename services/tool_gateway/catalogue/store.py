"""The catalogue in the database: imported documents are read from it, the tools of this deployment published to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Tool
from shared.store.pool import Pool
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))


class CatalogueStore:
    """The tables `documents` and `catalogue`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def publish(self, catalogue: Catalogue) -> None:
        """Make the catalogue visible to agents, the command line and the console."""
        rows = [_published(tool, catalogue) for tool in catalogue.tools.values()]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(*SQL.bind("publish_tools", tools=rows))
            await connection.execute(*SQL.bind("withdraw_tools", tools=list(catalogue.tools)))
            await connection.execute(SQL["tell_readers"])

    async def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """Imported documents: name and content."""
        return [(row["name"], row["content"]) for row in await self._pool.fetch(SQL["documents"])]

    async def documents_stamp(self) -> str:
        """Changes whenever an imported document does."""
        return str(await self._pool.fetchval(SQL["documents_stamp"]))


def _published(tool: Tool, catalogue: Catalogue) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "vendor": tool.vendor,
        "method": tool.method,
        "path": tool.path,
        "effect": tool.effect,
        "risk": tool.risk,
        "description": tool.description,
        "input_schema": tool.model_schema,
        "granted_to": catalogue.granted_to(tool.name),
        "ruled_by": catalogue.ruled_by(tool.name),
    }
