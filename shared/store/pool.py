"""The one module that opens Postgres connections: pool, JSON codecs, the durability check, liveness of instances.

An instance holds a session advisory lock as long as it lives. When its process dies the server drops the session and
the lock with it, so others can tell a dead owner from a slow one at once and need not wait for its leases to run out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import asyncpg
import orjson

from shared.errors import Unavailable, VioxError

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection = Any  # asyncpg's pool proxy and plain connections share one interface but no type

INSTANCE_LOCK_CLASS = 7001
ANSWER_SECONDS = 2.0
CONNECT_SECONDS = 10.0
log = logging.getLogger(__name__)


def dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


# Classes of SQLSTATE that say something of the statement and its data, and would again however often it is tried:
# not supported, cardinality, data, integrity, routine, cursor name, syntax or access, check option, limits, PL/pgSQL.
PERMANENT = frozenset({"0A", "21", "22", "23", "2F", "34", "42", "44", "54", "P0"})


def is_transient(error: Exception) -> bool:
    """Will this error go away by itself: server away, demoted, overloaded, out of disk, statement cancelled?"""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] not in PERMANENT
    return isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError)


def json_column(values: Iterable[Any]) -> list[str | None]:
    """JSON values as a text[] parameter, cast in the statement: asyncpg would take lists inside for array dimensions."""
    return [None if value is None else dumps(value) for value in values]


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=dumps, decoder=orjson.loads, schema="pg_catalog")


async def _nothing_to_reset(connection: Any) -> None:
    """No statement of ours changes a session, so returning a connection costs no round trip."""


async def open_pool(dsn: str, *, application: str, size: int = 8) -> Pool:
    """Open a pool. Raises Unavailable when the server cannot be reached, VioxError when it is not durable."""
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            init=_prepare,
            reset=_nothing_to_reset,
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


def instance_name(service: str) -> str:
    """Unique per process start, readable in tables: `closer@host:1234:5f3a`."""
    return f"{service}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}"


class Instance:
    """This process as others see it: `owner` goes into leases; the session lock behind it shows that we live.

    `owner` ends in the lock's number, so that anyone can look it up in pg_locks.
    """

    def __init__(self, dsn: str, service: str) -> None:
        self._dsn = dsn
        self._service = service
        self.number = secrets.randbelow(2**31 - 1) + 1
        self.owner = f"{instance_name(service)}#{self.number}"
        self._connection: Any = None
        self._listeners: dict[str, Callable[[], None]] = {}
        self._watch: asyncio.Task[None] | None = None

    def on_notify(self, channel: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever someone notifies the channel."""
        self._listeners[channel] = wake

    async def start(self) -> None:
        await self._connect()
        self._watch = asyncio.create_task(self._keep(), name="instance")

    async def stop(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._connection and not self._connection.is_closed():
            await self._connection.close()

    async def _connect(self) -> None:
        """A session counts once it has everything: the lock, which the one before may hold for a while, and the listeners."""
        made: Any = await asyncpg.connect(
            self._dsn, server_settings={"application_name": f"{self._service} instance"}, timeout=5
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await made.fetchval("select pg_advisory_lock($1, $2)", INSTANCE_LOCK_CLASS, self.number)
                for channel, wake in self._listeners.items():
                    await made.add_listener(channel, lambda *_args, wake=wake: wake())
        except BaseException:
            made.terminate()
            raise
        self._connection = made

    async def _keep(self) -> None:
        """Reconnect when the session is gone. Leases held meanwhile may be taken; versions guard the commits.

        A connection can be dead without anybody having told this end, so it is asked.
        """
        while True:
            await asyncio.sleep(0.5)
            try:
                await asyncio.wait_for(self._connection.fetchval("select 1"), ANSWER_SECONDS)
            except Exception:  # noqa: BLE001  # whatever it was, this session is of no use
                self._connection.terminate()
                await self._again()

    async def _again(self) -> None:
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001  # away: asked again in half a second
            log.info("instance %s: no session in Postgres: %s", self.owner, error)
            return
        for wake in self._listeners.values():
            wake()
