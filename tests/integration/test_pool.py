"""How others see a process in Postgres, and which errors go away by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from shared.store import instance as instances
from shared.store.instance import Instance
from shared.store.pool import is_transient


@pytest.fixture
async def instance(postgres: Postgres, admin: Any) -> AsyncIterator[Instance]:
    made = Instance(postgres.dsn("viox_closer"), "closer")
    await made.start()
    yield made
    await made.stop()


class Deaf:
    """A connection whose other end went away without a word."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.terminated = False

    async def fetchval(self, _: str) -> None:
        await asyncio.Event().wait()

    def terminate(self) -> None:
        self.terminated = True
        self._real.terminate()


async def alive(admin: Any, owner: str) -> bool:
    """As others see it, without the grace after a restart of the server."""
    number = int(owner.rpartition("#")[2])
    return bool(
        await admin.fetchval("select exists (select from pg_locks where locktype = 'advisory' and objid = $1)", number)
    )


async def test_a_session_that_died_unseen_is_replaced(
    instance: Instance, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "ANSWER_SECONDS", 0.2)
    heard = asyncio.Event()
    instance.on_notify("viox_test", heard.set)
    assert await alive(admin, instance.owner)
    dead = instance._connection = Deaf(instance._connection)
    async with asyncio.timeout(60):
        while instance._connection is dead or not await alive(admin, instance.owner):
            await asyncio.sleep(0.05)
    await asyncio.wait_for(heard.wait(), 60)
    assert dead.terminated


async def test_after_a_restart_of_the_server_nobody_counts_as_dead_yet(admin: Any) -> None:
    body = await admin.fetchval("select pg_get_functiondef('owner_alive'::regproc)")
    assert "pg_postmaster_start_time() >" in body
    young = await admin.fetchval("select pg_postmaster_start_time() > now() - interval '5 seconds'")
    assert await admin.fetchval("select owner_alive('closer@host:1:ab#1')") is young


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (asyncpg.ReadOnlySQLTransactionError("a demoted primary"), True),
        (asyncpg.DiskFullError("x"), True),
        (asyncpg.PostgresIOError("x"), True),
        (asyncpg.DeadlockDetectedError("x"), True),
        (asyncpg.CannotConnectNowError("x"), True),
        (ConnectionResetError(), True),
        (asyncpg.InterfaceError("closed"), True),
        (asyncpg.InternalClientError("another operation is in progress"), True),
        (asyncpg.QueryCanceledError("x"), True),
        (asyncpg.CharacterNotInRepertoireError("x"), False),
        (asyncpg.UniqueViolationError("x"), False),
        (asyncpg.InsufficientPrivilegeError("x"), False),
        (asyncpg.ProgramLimitExceededError("x"), False),
        (TypeError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_passes_and_what_would_fail_again(error: Exception, passes: bool) -> None:
    assert is_transient(error) is passes


async def test_a_connection_that_the_server_ended_unseen_fails_as_something_that_passes(postgres: Postgres) -> None:
    """The server's last words arrive before the end of the connection does, and a statement comes in between."""
    connection: Any = await asyncpg.connect(postgres.dsn("viox_closer"))
    protocol: Any = connection._protocol
    last = b"SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0"
    protocol.data_received(b"E" + (len(last) + 4).to_bytes(4) + last)
    with pytest.raises(Exception) as failed:  # noqa: PT011  # which error it is, is asyncpg's affair
        await connection.fetchval("select 1")
    connection.terminate()
    assert is_transient(failed.value), repr(failed.value)
