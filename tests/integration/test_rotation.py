"""Secrets are exchanged while work goes on: docs/operations-guide.md says how; here is what that relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.fernet import Fernet, InvalidToken

from sandbox.postgres import Postgres
from sandbox.vendors.hubspot import TOKEN
from services.tool_gateway.wire.box import KEY_NAME, box_of
from services.tool_gateway.wire.credentials import Secrets
from shared.audit.notes import Signer
from shared.audit.store import SQL
from shared.audit.verify import Refused
from shared.errors import Unavailable
from shared.store.pool import is_transient, open_pool
from tests.integration.audit.world import Log, log
from tests.integration.gateway.world import World, gateway_world, wants

__all__ = ["gateway_world", "log"]
ROLE = "viox_archivist"


@pytest.fixture
async def changed(postgres: Postgres, admin: Any) -> AsyncIterator[str]:
    """A DSN with another password of the role, as soon as `admin` has set it."""
    right = postgres.dsn(ROLE)
    password = right.split(":")[2].split("@")[0]
    yield right.replace(password, "another-password")
    await admin.execute(f"alter role {ROLE} password '{password}'")


async def test_sessions_outlive_a_changed_password_of_postgres(postgres: Postgres, admin: Any, changed: str) -> None:
    old = await open_pool(postgres.dsn(ROLE), application="old", size=1)
    await admin.execute(f"alter role {ROLE} password 'another-password'")

    assert await old.fetchval("select count(*) from archives") == 0
    with pytest.raises(Unavailable, match="password"):
        await open_pool(postgres.dsn(ROLE), application="late", size=1)
    new = await open_pool(changed, application="new", size=1)
    assert await new.fetchval("select count(*) from archives") == 0
    await new.close()
    await old.close()


async def test_a_refused_password_is_tried_again(postgres: Postgres, admin: Any, changed: str) -> None:
    """A session that ends before its service is started anew: its work waits, and does not fail."""
    with pytest.raises(asyncpg.InvalidPasswordError) as refused:
        await asyncpg.connect(changed)

    assert is_transient(refused.value)


async def test_calls_go_on_while_a_vendors_credential_is_exchanged(world: World, tmp_path: Path) -> None:
    """A file with the second one, then the first is revoked: no call is refused, and none is made twice."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    del world.secrets["HUBSPOT_ACCESS_TOKEN"]
    world.secrets["HUBSPOT_ACCESS_TOKEN_FILE"] = str(file)
    gateway = await world.gateway()
    asked: list[int] = []

    async def some(count: int) -> None:
        for _ in range(count):
            asked.append(len(asked) + 1)
            contact = {"properties": {"email": f"ana{asked[-1]}@example.com"}}
            await gateway.intake.accept([wants("hubspot_create_contact", contact, asked[-1])])

    await some(5)
    world.hubspot.tokens.add("the-second")
    await some(5)
    file.write_text("the-second")
    await some(5)
    for step in asked:
        await world.state("succeeded", step)
    world.hubspot.tokens.remove(TOKEN)
    await some(5)
    for step in asked:
        row = await world.state("succeeded", step)
        assert (row["attempt"], row["http_status"]) == (1, 201)
    assert len(world.hubspot.objects["contacts"]) == len(asked)


async def test_calls_go_on_while_the_key_of_the_audit_is_exchanged(log: Log) -> None:
    await log.call()
    await log.tick()
    (log.folder / "key").write_text(Signer.make("viox.test/audit").secret_text())

    with pytest.raises(Refused, match="another key"):
        await log.tick()
    await log.call()
    await log.admin.execute(*SQL.bind("restart", person="Dana", why="key exchanged", about="{}"))
    log.signer = Signer.read((log.folder / "key").read_text())
    await log.tick()

    report = await log.verify()
    assert (report.problems, report.leaves) == ([], 5)


def test_what_the_former_key_sealed_is_opened_until_it_is_taken_out(tmp_path: Path) -> None:
    former, newest = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    file = tmp_path / "key"
    secrets = Secrets({f"{KEY_NAME}_FILE": str(file)})
    file.write_text(former)
    sealed = box_of(secrets).encrypt(b"token")

    file.write_text(f"{newest},{former}")  # read anew: no restart
    assert box_of(secrets).decrypt(sealed) == b"token"
    again = box_of(secrets).rotate(sealed)
    file.write_text(newest)
    assert box_of(secrets).decrypt(again) == b"token"
    with pytest.raises(InvalidToken):
        box_of(secrets).decrypt(sealed)
