"""Drafts of tools: the OpenAPI document of an API is fetched through the outbound guard, read as an import reads it, and what it
would be as tools is kept as the record `api-draft:<name>`. Only `viox tools import` makes tools of it, by a person.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue import foreign
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.importer import Import, Wish, import_document
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.connectors import postgres
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent, Wire
from shared.errors import BadInput, VioxError
from shared.store.pool import Pool

SHOWN = 100  # tools and remarks; the import shows all of them


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """What is to be read, for which call."""
    return Prepared("READ", "apis:/api_draft", [], orjson.dumps(dict(arguments) | {"call_id": key}))


class Drafts:
    """Reads documents of APIs. Their server gets one request without any credential."""

    def __init__(self, pool: Pool, tools: Catalogue, guard: Guard) -> None:
        self._pool = pool
        self._tools = tools
        self._wire = Wire(guard, max_response_bytes=foreign.MAX_BYTES)

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """Raises NotSent for what cannot be used, MaybeSent when Postgres did not say whether it is kept."""
        given = orjson.loads(prepared.body)
        await gate()
        try:
            self._check(given["name"], given["url"])
            raw, url = await foreign.fetch(given["url"], self._wire)
            # Beside the loop: a large document takes seconds, and leases run.
            made = await asyncio.to_thread(_read, raw, url, given["name"])
        except VioxError as error:
            raise _final(error) from error
        told = _told(made, given["url"], raw)
        try:
            await self._pool.fetch(postgres.SQL["put_record"], f"api-draft:{made.name}", told, given["call_id"])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise MaybeSent("postgres.no_answer", f"{type(error).__name__}: {error}.") from error
        return Answer(200, [("content-type", "application/json")], orjson.dumps(told))

    async def aclose(self) -> None:
        await self._wire.aclose()

    def _check(self, name: str, url: str) -> None:
        """Raises BadInput."""
        if any(tool.vendor == name for tool in self._tools.tools.values()):
            raise BadInput("document.exists", f"{name} is in the catalogue.", field="name", remedy="Take another name.")
        if urlsplit(url).username or urlsplit(url).password:
            raise BadInput("document.credentials", "the address has a credential in it.", field="url")


def _read(raw: bytes, url: str, name: str) -> Import:
    return import_document(foreign.parse(raw), url, Wish(name))


def _told(made: Import, source: str, raw: bytes) -> dict[str, Any]:
    tools = [
        {"tool": t.name, "method": t.method, "path": t.path, "effect": t.effect, "risk": t.risk} for t in made.tools
    ]
    return {
        "name": made.name,
        "source": source,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "count": len(tools),
        "tools": tools[:SHOWN],
        "skipped": [f"{one.method} {one.path}: {one.reason}" for one in made.skipped[:SHOWN]],
        "remarks": list(made.remarks)[:SHOWN],
        "settings": made.secrets(),
        "granted_to": [],
    }


def _final(error: VioxError) -> NotSent:
    made = NotSent(error.code, error.message, field=error.field, remedy=error.remedy)
    made.final = True
    return made
