"""Records and notes of the business, and questions to them in SQL: in our own Postgres, through the gateway like the rest.

Writes are named statements of records.sql. Questions run as another role that can read a few views and nothing else, in
a read-only transaction, as one statement, with a time limit and a row limit. Setting VIOX_QUERY_DSN is that role's address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES, Tool
from services.tool_gateway.connectors import payloads
from services.tool_gateway.connectors.own import answered, refused, request_for, statement_of
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent
from shared.errors import BadInput, NotFound
from shared.store.pool import Pool, is_transient
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("records.sql"))
QUERY, PAYLOAD = "query", "payload_read"
MAX_ROWS = 200
QUERY_SECONDS = 5.0
AT_ONCE = 2
TOO_MUCH = frozenset({"53200", "53400", "54000"})  # out of memory, temp_file_limit, a value of more than 1 GB
# What the role may set for itself. `temp_file_limit` is a superuser's to set: `alter role viox_query set temp_file_limit`.
QUERY_SETTINGS = {
    "application_name": "viox question",
    "statement_timeout": str(int(QUERY_SECONDS * 1000)),
    "lock_timeout": "1000",
    "search_path": "business",
    "work_mem": "8MB",
    "hash_mem_multiplier": "1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
NO_QUESTION: dict[str, Any] = {"columns": [], "rows": [], "more": False}


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """The statement of a tool (the last part of its path) with its parameters. Raises BadInput when a setting is missing."""
    if statement_of(tool) == QUERY:
        secrets.get("VIOX_QUERY_DSN")
    return request_for(tool, arguments, key, "postgres")


class Records:
    """Runs prepared statements."""

    def __init__(self, pool: Pool, secrets: Secrets) -> None:
        self._pool = pool
        self._secrets = secrets
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """One statement. Raises NotSent or MaybeSent when Postgres did not say how it ended."""
        name = prepared.url.rsplit("/", 1)[-1]
        given = orjson.loads(prepared.body)
        try:
            async with self._turns if name == QUERY else contextlib.nullcontext():
                await gate()
                found = await self._found(name, given)
        except (BadInput, NotFound) as error:
            return refused(error.code, " ".join(error.message.split()), error.remedy)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            if refusal := _refusal(name, error):
                return refusal
            raise MaybeSent("postgres.no_answer", f"{type(error).__name__}: {error}.") from error
        if found == NO_QUESTION:
            return refused("42601", "the statement answers nothing", "Ask with one SELECT.")
        return answered(found)

    async def _found(self, name: str, given: Mapping[str, Any]) -> Any:
        if name == QUERY:
            return await self._query(given)
        return await (payloads.read(self._pool, given) if name == PAYLOAD else self._statement(name, given))

    async def _statement(self, name: str, given: Mapping[str, Any]) -> Any:
        arguments = ARGUMENTS[name](given)
        rows = [dict(row) for row in await self._pool.fetch(SQL[name], *arguments)]
        return rows[0] if name in ONE and rows else None if name in ONE else {"rows": rows}

    async def _query(self, given: Mapping[str, Any]) -> Any:
        """A connection of its own for every question: nothing a statement could set outlives it."""
        limit = min(int(given.get("limit") or 50), MAX_ROWS)
        try:
            connection = await asyncpg.connect(
                self._secrets.get("VIOX_QUERY_DSN"),
                timeout=5,
                command_timeout=QUERY_SECONDS + 1,
                server_settings=QUERY_SETTINGS,
            )
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise NotSent("postgres.not_connected", f"{error}.", field="VIOX_QUERY_DSN") from error
        meter = _Meter(connection)
        try:
            # Never committed: what pg_notify would tell goes nowhere.
            await connection.transaction(readonly=True).start()
            statement = await connection.prepare(given["sql"])
            cursor = await statement.cursor(*[_typed(value) for value in given.get("parameters") or []])
            rows = await cursor.fetch(limit + 1)
            columns = [attribute.name for attribute in statement.get_attributes()]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            if meter.left < 0:
                message = f"it answers more than {MAX_RESPONSE_BYTES:,} bytes"
                raise BadInput("query.too_large", message, field="sql", remedy="Ask for less.") from error
            if isinstance(error, asyncpg.InternalClientError):
                raise BadInput("query.types", str(error), field="sql", remedy="Cast unusual types to text.") from error
            if isinstance(error, asyncpg.InterfaceError) and not connection.is_closed():
                remedy = "Give as many parameters as $n, of their types."
                raise BadInput("query.parameters", str(error), field="parameters", remedy=remedy) from error
            raise
        finally:
            connection.terminate()
        return {"columns": columns, "rows": [list(row.values()) for row in rows[:limit]], "more": len(rows) > limit}


class _Meter:
    """Stands between a connection's socket and asyncpg, which would take in rows of any size, and hangs up in time."""

    def __init__(self, connection: Any) -> None:
        self.left = MAX_RESPONSE_BYTES
        self._transport, self._protocol = connection._transport, connection._protocol
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left < 0:
            self._transport.abort()
        else:
            self._protocol.data_received(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)


def _typed(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def _refusal(name: str, error: Exception) -> Answer | None:
    """What Postgres says about the statement itself; None when it says something about Postgres."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return refused("57014", f"it takes longer than {QUERY_SECONDS:g} s", "Ask for less.")
    if not isinstance(error, asyncpg.PostgresError):
        return None
    code = error.sqlstate or ""
    if name == QUERY and code in TOO_MUCH:
        return refused(code, f"it takes too much memory or disk: {error}", "Ask for less.")
    if name == QUERY and isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return refused(code, str(error), "Ask with one SELECT.")
    return None if is_transient(error) else refused(code, str(error), getattr(error, "hint", None))


ONE = frozenset({"put_record", "claim_record", "get_record", "add_note"})
ARGUMENTS: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "put_record": lambda g: [g["entity"], g["data"], g["call_id"]],
    "claim_record": lambda g: [g["entity"], g["holder"], g.get("data") or {}, g["call_id"]],
    "get_record": lambda g: [g["entity"]],
    "list_records": lambda g: [g.get("prefix") or "", g.get("contains") or {}, g.get("limit") or 50],
    "add_note": lambda g: [g["entity"], g["text"], g.get("tags") or [], g["call_id"]],
    "find_notes": lambda g: [g.get("entity") or None, g.get("words") or None, g.get("limit") or 20],
}
