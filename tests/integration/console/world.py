"""The console on a database with a little of everything, served as it is in a stack."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import uvicorn

from sandbox.net import free_ports
from services.console.app import build
from shared.bus.envelope import Message, headers_to_json
from shared.ids import call_id, run_id, thread_id
from shared.models.port import sha256_json
from shared.settings import Settings
from shared.store.pool import Pool

PEOPLE = {"Dana": ["owner"], "Lee": ["approver"], "Olu": ["operator"], "Ari": ["auditor"], "Vera": ["viewer"]}
XSS = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\"'{{7*7}}"
MESSAGE = "com.twilio.message.received"
LEAD = {"email": "ines@example.com", "first_name": "Ines", "last_name": "Moreau", "interest": "a new kitchen"}
WRITE = {"properties": {"email": "ines@example.com", "firstname": "Ines", "budget": "about 12k"}}
REFUND = {"charge": "ch_7", "amount": 24_000, "currency": "usd"}


def token(name: str) -> str:
    return f"token-of-{name}-{'x' * 24}"


@dataclass
class World:
    """Where the console is, and the ids of what lies in its database."""

    url: str
    people: Path
    admin: Any
    lead: UUID
    failed: str
    approval: str
    waiting: UUID
    unknown: str
    letter: str


def people_file(folder: Path) -> Path:
    file = folder / "people.yaml"
    people = [
        {"name": name, "roles": roles, "token_sha256": hashlib.sha256(token(name).encode()).hexdigest()}
        for name, roles in PEOPLE.items()
    ]
    file.write_text(json.dumps({"people": people}))
    return file


@asynccontextmanager
async def console_world(admin: Any, pool: Pool, dsn: str, folder: Path) -> AsyncIterator[World]:
    """Seeded and served until the block ends."""
    world = await _seed(admin, people_file(folder))
    async with served(pool, dsn, world.people, {}) as world.url:
        yield world


@asynccontextmanager
async def served(pool: Pool, dsn: str, people: Path, values: Mapping[str, str]) -> AsyncIterator[str]:
    """The console's address, until the block ends. `values` is what else its environment says."""
    (port,) = free_ports(1)
    settings = Settings.load(postgres_dsn=dsn, people=people, http_port=port)
    config = uvicorn.Config(
        build(settings, values, pool),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


class Browser:
    """A browser, as far as HTTP goes. An answer is read to its end before anybody has it, so that none holds a connection."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str, **how: Any) -> aiohttp.ClientResponse:
        async with self.session.get(path, **how) as answer:
            await answer.read()
        return answer

    async def post(self, path: str, **how: Any) -> aiohttp.ClientResponse:
        async with self.session.post(path, **how) as answer:
            await answer.read()
        return answer

    @property
    def cookie(self) -> dict[str, str]:
        """The header with all its cookies."""
        return {"Cookie": "; ".join(f"{one.key}={one.value}" for one in self.session.cookie_jar)}


@asynccontextmanager
async def browser(url: str, headers: Mapping[str, str]) -> AsyncIterator[Browser]:
    """Of nobody who is signed in, sending these headers each time."""
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers) as session:
        yield Browser(session)


@asynccontextmanager
async def signed_in(url: str, name: str) -> AsyncIterator[Browser]:
    async with browser(url, {"Sec-Fetch-Site": "same-origin"}) as made:
        answer = await made.post("/sign-in", data={"token": token(name)}, allow_redirects=False)
        assert answer.status == 303
        yield made


async def got(client: Browser, path: str, status: int = 200) -> str:
    """The text of a page."""
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    return await answer.text()


async def sent(client: Browser, path: str, form: Mapping[str, str], status: int = 200) -> str:
    """The text of the page that a form leads to."""
    answer = await client.post(path, data=form)
    assert answer.status == status, await answer.text()
    return await answer.text()


async def _seed(admin: Any, people: Path) -> World:
    lead = await run(admin, "closer", "lead:ines@example.com", "viox.lead.created", LEAD, text="Ines Moreau: noted.")
    failed = await call(
        admin,
        lead,
        "closer",
        "hubspot_create_contact",
        WRITE,
        "failed",
        http_status=400,
        error={"code": "tool.vendor_refused", "message": 'Property "budget" is a number.', "remedy": "Correct it."},
    )
    await exchange(admin, failed, WRITE, 400, {"status": "error", "message": 'Property "budget" is a number'})
    waiting = await run(
        admin, "controller", "refund:7", "viox.task.requested", {"instruction": "Refund ch_7."}, open_=True
    )
    approval = await approval_of(admin, waiting, REFUND)
    lost = await run(admin, "voice", "phone:+14155550123", MESSAGE, {"From": "+14155550123", "Body": XSS}, open_=True)
    unknown = await call(
        admin, lost, "voice", "twilio_send_message", {"To": "+14155550123", "Body": XSS}, "unknown", step=1
    )
    letter = "5f0e8b52-1111-4111-8111-000000000001"
    await admin.execute(
        """insert into dead_letters (dead_letter_id, service, topic, headers, value, source, message_id, code, error, attempts)
           values ($1, 'closer', 'viox.events.sales', '[]', '{}', '/t', 'm1', 'event.unreadable', $2, 3)""",
        letter,
        f"no JSON: {XSS}",
    )
    await admin.execute(
        """insert into facts (fact_id, entity, name, value, text, confidence, tainted, source_call, agent)
           values ('fact_1', 'person:ines@example.com', 'interest', '"kitchen"', 'Wants a new kitchen', 1, true, $1, 'closer')""",
        failed,
    )
    await admin.execute(
        """insert into catalogue (tool, vendor, method, path, effect, risk, description, input_schema, granted_to)
           values ('hubspot_create_contact', 'hubspot', 'POST', '/crm/v3/objects/contacts', 'once', '{}', 'Creates it.', '{}',
                   '{closer}')"""
    )
    return World("", people, admin, lead, failed, approval, waiting, unknown, letter)


async def run(
    admin: Any,
    agent: str,
    conversation: str,
    type_: str,
    data: dict[str, Any],
    text: str | None = None,
    *,
    open_: bool = False,
) -> UUID:
    """A run with its first step, and the message that began it."""
    identity, source = f"m-{conversation}", "/upstream/test"
    run_, thread = run_id(agent, source, identity), thread_id(agent, conversation)
    await admin.execute(
        """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, text,
                             finished_at, steps)
           values ($1, $2, $3, $4, $5::text, $6, $7, $8, $9, case when $5::text = 'finished' then now() end, 1)""",
        run_,
        agent,
        thread,
        conversation,
        "running" if open_ else "finished",
        source,
        identity,
        type_,
        text,
    )
    from datetime import UTC, datetime

    message = Message(identity, source, type_, data, datetime.now(UTC))
    _, value, headers = message.to_kafka()
    await admin.execute(
        """insert into inbox (agent, source, message_id, kind, thread_id, run_id, topic, value, headers, state)
           values ($1, $2, $3, 'event', $4, $5, 'viox.events.sales', $6, $7::text::json, 'done')""",
        agent,
        source,
        identity,
        thread,
        run_,
        value,
        json.dumps(headers_to_json(headers)),
    )
    body = {"type": type_, "source": source, "id": identity, "time": "2026-11-30T08:00:00Z", "data": data}
    await step(admin, run_, agent, thread, 0, "trigger", body)
    return run_


async def step(admin: Any, run_: UUID, agent: str, thread: UUID, number: int, kind: str, body: dict[str, Any]) -> None:
    await admin.execute(
        "insert into steps (run_id, step, thread_id, agent, seq, kind, body) values ($1, $2::int, $3, $4, $2::int, $5, $6::text::json)",
        run_,
        number,
        thread,
        agent,
        kind,
        json.dumps(body),
    )


async def call(
    admin: Any,
    run_: UUID,
    agent: str,
    tool: str,
    arguments: dict[str, Any],
    state: str,
    *,
    step: int = 1,
    http_status: int | None = None,
    error: dict[str, Any] | None = None,
    approval: str | None = None,
) -> str:
    made = call_id(run_, step, 0)  # type: ignore[arg-type]
    row = await admin.fetchrow("select thread_id, conversation_id from runs where run_id = $1", run_)
    await admin.execute(
        """insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state,
                                   http_status, error, arguments, arguments_sha256, attempt, latency_ms, approval_id)
           values ($1, $2, $3, 0, $4, $5, $6, $7, $8, 'once', $9, $10, $11::text::json, $12::text::json, $13, 1, 148, $14)""",
        made,
        run_,
        step,
        agent,
        row["thread_id"],
        row["conversation_id"],
        tool,
        tool.partition("_")[0],
        state,
        http_status,
        json.dumps(error) if error else None,
        json.dumps(arguments),
        sha256_json(arguments),
        approval,
    )
    return str(made)


async def exchange(admin: Any, call_: str, sent: Any, status: int, answered: Any) -> None:
    """A request and its answer, on record."""
    checks = json.dumps([{"check": "policy", "passed": True, "policies": [], "rules": ["closer.crm"]}])
    await admin.execute(
        "insert into ledger_entries (call_id, attempt, phase, checks) values ($1, 0, 'decision', $2::text::json)",
        call_,
        checks,
    )
    headers = json.dumps([["Content-Type", "application/json"], ["Authorization", "[redacted]"]])
    await admin.execute(
        """insert into ledger_entries (call_id, attempt, phase, method, url, request_headers, request_body, request_sha256)
           values ($1, 1, 'intent', 'POST', 'https://api.hubapi.com/crm/v3/objects/contacts', $2::text::json, $3, 'aa')""",
        call_,
        headers,
        json.dumps(sent).encode(),
    )
    await admin.execute(
        """insert into ledger_entries (call_id, attempt, phase, status, response_headers, response_body, response_sha256)
           values ($1, 1, 'outcome', $2, $3::text::json, $4, 'bb')""",
        call_,
        status,
        headers,
        json.dumps(answered).encode(),
    )


async def approval_of(admin: Any, run_: UUID, arguments: dict[str, Any], *, number: int = 1, people: int = 1) -> str:
    """A refund that waits for people."""
    identity = f"apr_{number:020d}"
    made = await call(
        admin,
        run_,
        "controller",
        "stripe_create_refund",
        arguments,
        "awaiting_approval",
        step=number,
        approval=identity,
    )
    await admin.execute(
        """insert into approvals (approval_id, call_id, revision, agent, tool, run_id, conversation_id, arguments,
                                  arguments_sha256, asked_sha256, policy_version, rules, reasons, people, expires_at)
           values ($1, $2, 1, 'controller', 'stripe_create_refund', $3, 'refund:7', $4::text::json, $5, $5, 'v',
                   '{money.refunds}', '{a refund needs a person}', $6, now() + interval '3 hours')""",
        identity,
        made,
        run_,
        json.dumps(arguments),
        sha256_json(arguments),
        people,
    )
    return identity
