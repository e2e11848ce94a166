"""Connections to Postgres: pool, JSON codecs, the durability check. The command line loads this module, so it stays light."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import asyncpg
import orjson

from shared.errors import Unavailable, VioxError
from shared.store import acting

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection = Any  # asyncpg's pool proxy and plain connections share one interface but no type


def dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


# Classes of SQLSTATE that say something of the statement and its data, and would again however often it is tried:
# not supported, cardinality, data, integrity, routine, cursor name, syntax or access, check option, limits, PL/pgSQL.
PERMANENT = frozenset({"0A", "21", "22", "23", "2F", "34", "42", "44", "54", "P0"})


def is_transient(error: Exception) -> bool:
    """Will this error go away by itself: server away, demoted, overloaded, out of disk, statement cancelled?"""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] not in PERMANENT
    # InternalClientError: the server said goodbye on an idle connection, and its end has not been seen yet.
    return isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def json_column(values: Iterable[Any]) -> list[str | None]:
    """JSON values as a text[] parameter, cast in the statement: asyncpg would take lists inside for array dimensions."""
    return [None if value is None else dumps(value) for value in values]


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=dumps, decoder=orjson.loads, schema="pg_catalog")


async def _nothing_to_reset(connection: Any) -> None:
    """No statement of a service changes a session, so returning a connection costs no round trip."""


async def open_pool(dsn: str, *, application: str, size: int = 8, for_people: bool = False) -> Pool:
    """Open a pool; one that is `for_people` tells Postgres who acts.

    Raises Unavailable when the server cannot be reached, VioxError when it is not durable.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            init=_prepare,
            setup=acting.tell if for_people else None,
            reset=acting.forget if for_people else _nothing_to_reset,
            max_inactive_connection_lifetime=120,
            command_timeout=30,
            server_settings={"application_name": application, "timezone": "UTC", "jit": "off"},
        )
    except (OSError, asyncpg.PostgresError) as error:
        full = "No space left" in str(error)
        raise Unavailable(
            "postgres.disk_full" if full else "postgres.unavailable",
            f"cannot connect to Postgres: {error}.",
            field="VIOX_POSTGRES_DSN",
            remedy="Free space on its disk; nothing accepted is lost."
            if full
            else "Start it (`viox up`), or correct the address, role or password.",
        ) from error
    setting = await pool.fetchval("show synchronous_commit")
    if setting == "off":
        await pool.close()
        raise VioxError(
            "postgres.not_durable",
            "synchronous_commit is off: a crash could lose what was acknowledged.",
            field="synchronous_commit",
            remedy="Set synchronous_commit = on for this role and database.",
        )
    return pool
