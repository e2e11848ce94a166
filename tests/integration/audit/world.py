"""A log on a database of its own: entries as the gateway writes them, a sequencer, and what verifies them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.tool_gateway.audit.remembered import CheckpointFile, CheckpointTopic
from services.tool_gateway.audit.sequencer import Sequencer
from shared.audit.check import verify
from shared.audit.notes import Signer
from shared.audit.store import head
from shared.audit.verify import Checkpoint, Report
from shared.store.pool import Pool
from shared.telemetry.digest import sha256_bytes

CHECKS = [{"check": "policy", "passed": True}]


class Log:
    """What a gateway does to the log, one step at a time."""

    def __init__(self, pool: Pool, admin: Any, folder: Path) -> None:
        self.pool = pool
        self.admin = admin
        self.folder = folder
        self.signer = Signer.make("viox.test/audit")
        (folder / "key").write_text(self.signer.secret_text())
        self.file = CheckpointFile(folder)
        self.on_topic: list[bytes] = []
        self.told: list[str] = []
        self.sequencer = self.another()

    def another(self, folder: Path | None = None) -> Sequencer:
        """A sequencer as it begins in another process."""

        async def read() -> list[bytes]:
            return self.on_topic

        file = CheckpointFile(folder or self.folder)
        return Sequencer(self.pool, self.folder / "key", file, CheckpointTopic(read), self.told.append)

    async def call(self, body: bytes = b'{"to": "ana@example.com"}', *, answered: bool = True) -> str:
        """A call that was sent and, as a rule, answered."""
        (name,) = await self.calls(1, body, answered=answered)
        return name

    async def row_of(self, call: str) -> None:
        """The row of a call that succeeded an hour ago."""
        await self.admin.execute(
            """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments,
                                       arguments_sha256, created_at)
               values ($1, split_part($1, '.', 1)::uuid, 1, 0, 'closer', 'c', 'email_send', 'succeeded', '{}', repeat('0', 64),
                       now() - interval '1 hour')""",
            call,
        )

    async def calls(
        self, count: int, body: bytes = b'{"to": "ana@example.com"}', *, answered: bool = True
    ) -> list[str]:
        names, answer = [f"{uuid4()}.1.0" for _ in range(count)], b'{"id": "m\xc3\xbcller \\\\ 1"}'
        await self.pool.execute(
            """insert into ledger_entries (call_id, attempt, phase, checks, method, url, request_headers, request_body,
               request_sha256, agent, tool, arguments_sha256)
               select unnest($1::text[]), 1, 'intent', $2::json, 'POST', 'https://mail.example.com/send', $3::json, $4, $5,
                      'closer', 'email_send', $6""",
            names,
            CHECKS,
            [["content-type", "application/json"]],
            body,
            sha256_bytes(body),
            bytes(32),
        )
        if not answered:
            return names
        await self.pool.execute(
            """insert into ledger_entries (call_id, attempt, phase, status, response_headers, response_body, response_sha256, detail)
               select unnest($1::text[]), 1, 'outcome', 200, $2::json, $3, $4, $5::json""",
            names,
            [["x", "\\ ü"]],
            answer,
            sha256_bytes(answer),
            {"state": "succeeded", "path": "a\\b"},
        )
        return names

    async def tick(self) -> None:
        while await self.sequencer.tick():
            pass

    async def verify(self) -> Report:
        async with self.pool.acquire() as connection:
            now = await head(connection)
            return await verify(connection, now, self.signer.of_log(now.log_id).key, self.remembered(now.log_id))

    def remembered(self, log: int) -> list[Checkpoint]:
        found = self.file.newest()
        return [found] if found and found.origin == self.signer.of_log(log).name else []

    async def codes(self) -> set[str]:
        return {problem["code"] for problem in (await self.verify()).problems}

    async def as_superuser(self, *statements: str) -> None:
        """Change what nobody may change, behind the back of every trigger."""
        await self.admin.execute("set session_replication_role = replica")
        for statement in statements:
            await self.admin.execute(statement)
        await self.admin.execute("reset session_replication_role")


@pytest.fixture
async def log(gateway_pool: Pool, admin: Any, tmp_path: Path) -> AsyncIterator[Log]:
    await admin.execute("delete from audit_logs where log_id > 1")
    await admin.execute("update audit_logs set stopped = null, complete_to = 0")
    yield Log(gateway_pool, admin, tmp_path)
    await asyncio.sleep(0)
