"""Liveness of a process as others see it.

An instance holds a session advisory lock as long as it lives. When its process dies the server drops the session and
the lock with it, so others can tell a dead owner from a slow one at once and need not wait for its leases to run out.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

import asyncpg

from shared.telemetry.logs import get_logger
from shared.waiting import within

INSTANCE_LOCK_CLASS = 7001
ANSWER_SECONDS = 2.0
CONNECT_SECONDS = 10.0
log = get_logger(__name__)


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
                await within(ANSWER_SECONDS, self._connection.fetchval("select 1"))
            except Exception:  # noqa: BLE001  # whatever it was, this session is of no use
                self._connection.terminate()
                await self._again()

    async def _again(self) -> None:
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001  # away: asked again in half a second
            log.info("instance.no_session", owner=self.owner, error=error)
            return
        for wake in self._listeners.values():
            wake()
