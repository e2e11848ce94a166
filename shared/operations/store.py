"""Runs, calls, tools and dead letters, and the few things that change them. Documents as the contract has them.

Listings are asked for all the time: what only writing needs (envelopes, messages) is imported where it is used.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from shared.bus import topics
from shared.errors import Conflict, NotFound
from shared.ids import is_run_of, parse_call_id
from shared.operations import paging
from shared.runs import run_document, timestamp
from shared.store.sql import Queries
from shared.telemetry import trace
from shared.telemetry.trace import TraceContext

if TYPE_CHECKING:
    from shared.bus.envelope import Message
    from shared.bus.outbox import Outgoing

SQL = Queries(Path(__file__).with_name("queries.sql"))
CLI_SOURCE = "/viox/cli"
RUN_STATES = ("running", "waiting", "finished", "failed", "blocked", "cancelled")
CALL_STATES = (
    "requested",
    "denied",
    "awaiting_approval",
    "approved",
    "rejected",
    "expired",
    "executing",
    "succeeded",
    "failed",
    "unknown",
)


def call_document(row: Any) -> dict[str, Any]:
    """The contract's call object."""
    return {
        "call_id": row["call_id"],
        "run_id": str(row["run_id"]),
        "step": row["step"],
        "index": row["idx"],
        "agent": row["agent"],
        "tool": row["tool"],
        "effect": row["effect"],
        "state": row["state"],
        "arguments": row["arguments"],
        "attempts": row["attempt"],
        "http_status": row["http_status"],
        "latency_ms": row["latency_ms"],
        "error": row["error"],
        "approval_id": row["approval_id"],
        "created_at": timestamp(row["created_at"]),
        "closed_at": timestamp(row["closed_at"]),
        "result": row["result"],
    }


async def runs(
    pool: Any,
    *,
    agent: str | None,
    status: str | None,
    since: datetime | None,
    cursor: str | None,
    limit: int,
    failed: bool = False,
) -> tuple[list[dict[str, Any]], str | None]:
    at, last = paging.cursor_of(cursor, UUID)
    rows = await pool.fetch(SQL["runs"], agent, status, since, at, last, limit + 1, failed)
    following = paging.next_of(rows[limit - 1], "started_at", "run_id") if len(rows) > limit else None
    return [run_document(row) for row in rows[:limit]], following


async def run(pool: Any, run_id: UUID) -> dict[str, Any]:
    return run_document(await run_row(pool, run_id))


async def trace_context(pool: Any, run_id: UUID, agent: str) -> TraceContext | None:
    """The span that a run is, and whether its trace is recorded; None for one from before traces."""
    return trace.parse(await pool.fetchval(SQL["traceparent"], run_id, agent))


async def trace_of(pool: Any, run_id: UUID, agent: str) -> str | None:
    """The id of the trace that a run is part of; None for one from before traces."""
    found = await trace_context(pool, run_id, agent)
    return found.trace_id if found else None


async def run_row(pool: Any, run_id: UUID) -> Any:
    """The run with this id, of the agent whose id it is: another could write a row of its own under it."""
    for row in await pool.fetch(SQL["run"], run_id):
        if is_run_of(row["run_id"], row["agent"], row["trigger_source"], row["trigger_id"]):
            return row
    raise NotFound("run.not_found", f"there is no run {run_id}.", field="run", remedy="See `viox runs`.")


async def story(pool: Any, run_id: UUID, agent: str) -> tuple[list[Any], list[Any]]:
    """(steps, calls) of a run."""
    return await pool.fetch(SQL["steps"], run_id, agent), await pool.fetch(SQL["calls_of_run"], run_id, agent)


async def prompt(pool: Any, digest: str) -> str | None:
    """A system prompt or tool list as it was sent. Raises Conflict when it is not the one that the digest names."""
    from shared.models.port import sha256_json

    body: str | None = await pool.fetchval(SQL["prompt"], digest)
    if body is not None and sha256_json(orjson.loads(body)) != digest:
        raise Conflict(
            "prompt.altered",
            f"the stored text is not the one with digest {digest}.",
            field="prompts",
            remedy="Restore it.",
        )
    return body


async def calls(
    pool: Any,
    *,
    agent: str | None,
    tool: str | None,
    state: str | None,
    since: datetime | None,
    run_id: UUID | None,
    cursor: str | None,
    limit: int,
    failed: bool,
) -> tuple[list[dict[str, Any]], str | None]:
    at, last = paging.cursor_of(cursor, _call_id)
    rows = await pool.fetch(SQL["calls"], agent, tool, state, since, run_id, at, last, limit + 1, failed)
    following = paging.next_of(rows[limit - 1], "created_at", "call_id") if len(rows) > limit else None
    return [call_document(row) for row in rows[:limit]], following


async def call(pool: Any, call_id: str) -> dict[str, Any]:
    """One call with its checks and the exact request and response of each attempt."""
    row = await pool.fetchrow(SQL["call"], call_id)
    if row is None:
        raise NotFound("call.not_found", f"there is no call {call_id}.", field="call", remedy="See `viox calls`.")
    entries = await pool.fetch(SQL["ledger"], call_id)
    checks: list[Any] = next((e["checks"] for e in entries if e["checks"]), [])
    return call_document(row) | {
        "checks": checks,
        "attempts_detail": _attempts(entries),
        "request": [_request(e) for e in entries if e["phase"] == "intent"],
        "response": [_response(e) for e in entries if e["phase"] == "outcome" and e["status"] is not None],
        "ledger": [_entry(e) for e in entries],
    }


async def payload(pool: Any, payload_id: str) -> Any:
    """A result that is kept apart: whose it is, and its content. Raises NotFound."""
    row = await pool.fetchrow(SQL["payload"], payload_id)
    if row is None:
        raise NotFound(
            "payload.not_found", f"there is no payload {payload_id}.", field="payload", remedy="See `viox call ID`."
        )
    if row["content"] is None:
        raise NotFound(
            "payload.expired",
            f"{payload_id} was kept for VIOX_PAYLOAD_DAYS and is gone.",
            field="payload",
            remedy=f"The vendor's answer is on record: `viox call {row['call_id']}`.",
        )
    return row


def _attempts(entries: Sequence[Any]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        if entry["phase"] == "intent":
            found.setdefault(entry["attempt"], {"attempt": entry["attempt"]})["request"] = _request(entry)
        elif entry["phase"] in ("outcome", "incident"):
            place = found.setdefault(entry["attempt"], {"attempt": entry["attempt"]})
            place["response"] = _response(entry) if entry["status"] is not None else None
            place["detail"] = entry["detail"]
    return [found[number] for number in sorted(found)]


def _request(entry: Any) -> dict[str, Any]:
    return {
        "attempt": entry["attempt"],
        "at": timestamp(entry["at"]),
        "method": entry["method"],
        "url": entry["url"],
        "headers": entry["request_headers"],
        "body_base64": base64.b64encode(entry["request_body"] or b"").decode(),
        "sha256": entry["request_sha256"],
    } | _redacted(entry)


def _response(entry: Any) -> dict[str, Any]:
    return {
        "attempt": entry["attempt"],
        "at": timestamp(entry["at"]),
        "status": entry["status"],
        "headers": entry["response_headers"],
        "body_base64": base64.b64encode(entry["response_body"] or b"").decode(),
        "sha256": entry["response_sha256"],
    } | _redacted(entry)


def _redacted(entry: Any) -> dict[str, Any]:
    """Where the bytes on record are not those that travelled: how many values were taken out, and the digest of the original."""
    found = (entry["detail"] or {}).get("redacted")
    return {"redacted": found} if found else {}


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "phase": entry["phase"],
        "attempt": entry["attempt"],
        "at": timestamp(entry["at"]),
        "detail": entry["detail"],
    }


async def accept(connection: Any, topic: str, message: Message, receivers: Sequence[str]) -> None:
    """Accepted means: a row in Postgres. The gateway puts it on Kafka and sends again until the receivers have it.

    A repeat is accepted like the first. Raises Conflict when the identity stands for other content.
    """
    from shared.bus.envelope import conflict, headers_from_json, parse_record
    from shared.bus.outbox import outgoing

    for row in await connection.fetch(SQL["held_events"], message.source, message.id):
        if not parse_record(row["value"], headers_from_json(row["headers"])).says_the_same(message):
            raise conflict(message)
    await _put(connection, outgoing(topic, message, receivers))
    await connection.execute("select pg_notify('viox_outbox', '')")


async def _put(connection: Any, row: Outgoing) -> None:
    from shared.bus.envelope import headers_to_json

    headers = headers_to_json(row.headers)
    await connection.execute(
        SQL["outbox_row"],
        row.outbox_id,
        row.topic,
        row.key,
        row.value,
        headers,
        row.source,
        row.message_id,
        list(row.receivers),
    )


async def cancel(pool: Any, run_id: UUID) -> dict[str, Any]:
    """Ask a run's agent to end it. Calls that have not begun are refused; what is under way is settled as usual."""
    from shared.bus.envelope import Message, headers_to_json
    from shared.bus.messages import CANCEL, LIVE_SOURCE

    found = await run(pool, run_id)
    if found["merged_into"]:
        raise Conflict(
            "run.merged", f"run {run_id} joined {found['merged_into']}.", field="run", remedy="Cancel that one."
        )
    if found["status"] not in ("running", "waiting"):
        raise Conflict("run.over", f"run {run_id} is {found['status']} already.", field="run")
    if found["trigger"]["source"] == LIVE_SOURCE:
        await pool.execute(SQL["cancel_live"], run_id, found["agent"], LIVE_SOURCE)
        return found
    facts = await run_row(pool, run_id)
    message = Message(f"cancel:{run_id}", CLI_SOURCE, CANCEL, {"run_id": str(run_id)}, datetime.now(UTC))
    _, value, headers = message.to_kafka()
    await pool.execute(
        SQL["accept_control"],
        facts["agent"],
        message.source,
        message.id,
        facts["thread_id"],
        run_id,
        value,
        headers_to_json(headers),
    )
    return found


async def dead_letters(
    pool: Any, *, state: str | None, service: str | None, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    at, last = paging.cursor_of(cursor, UUID)
    rows = await pool.fetch(SQL["dead_letters"], state, service, at, last, limit + 1)
    following = paging.next_of(rows[limit - 1], "created_at", "dead_letter_id") if len(rows) > limit else None
    return [_letter(row) for row in rows[:limit]], following


def _letter(row: Any) -> dict[str, Any]:
    return {
        "dead_letter_id": str(row["dead_letter_id"]),
        "service": row["service"],
        "topic": row["topic"],
        "code": row["code"],
        "error": row["error"],
        "attempts": row["attempts"],
        "run_id": str(row["run_id"]) if row["run_id"] else None,
        "message_id": row["message_id"],
        "state": row["state"],
        "created_at": timestamp(row["created_at"]),
        "redriven_at": timestamp(row["redriven_at"]),
    }


async def redrive(pool: Any, letter: UUID) -> None:
    """Have the service that wrote a dead letter handle it again. Nothing is sent: the service takes its own letter in.

    The receiver's mark is reset, so that the message is not taken for a repeat. A blocked run of that service is open
    again: it goes on from its record, with the results of the calls it made.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(SQL["dead_letter"], letter)
        if not rows:
            raise NotFound(
                "dead_letter.not_found",
                f"there is no dead letter {letter}.",
                field="id",
                remedy="See `viox dead-letters`.",
            )
        for row in rows:
            _check_redrivable(row)
            if await connection.fetchval(SQL["mark_redriving"], letter, row["service"]) is None:
                raise Conflict("dead_letter.redriven", f"{letter} was redriven already.", field="id")
            await connection.execute(SQL["forget_mark"], row["service"], row["source"], row["message_id"])
            await connection.execute(SQL["reopen_run"], row["run_id"], row["service"])
        await connection.execute("select pg_notify('viox_redrive', '')")


def _check_redrivable(row: Any) -> None:
    """Raises Conflict when the service that wrote a letter may not or cannot handle it again."""
    service, topic = row["service"], row["topic"] or ""
    if topic.startswith(topics.TOOL_RESULTS):
        raise Conflict(
            "dead_letter.result",
            "a tool's result cannot be redriven: its run ended without it.",
            field="id",
            remedy="Read the result with `viox call`, and ask the agent again.",
        )
    by_webhook = service == topics.GATEWAY and topic.startswith(topics.WEBHOOKS)
    if not by_webhook and topic not in topics.consumed_by(service):
        raise Conflict("dead_letter.foreign_topic", f"{service} does not consume {topic!r}.", field="id")
    if row["code"] == "event.reserved":
        raise Conflict(
            "dead_letter.reserved",
            "the message names a sender that did not send it.",
            field="id",
            remedy="Have it sent under the name of its own source.",
        )
    if len(row["value"] or b"") > topics.MAX_RECORD_BYTES:
        raise Conflict("dead_letter.too_large", "the message is larger than a record may be.", field="id")


async def settle(pool: Any, call_id: str, state: str, result: Any, by: str) -> dict[str, Any]:
    """A person says what happened to an unknown call; its run goes on."""
    error = (
        None if state == "succeeded" else {"code": "tool.settled_failed", "message": f"{by} says it did not happen."}
    )
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(SQL["settle"], call_id, state, result, error)
        if row is None:
            found = await connection.fetchrow(SQL["call"], call_id)
            if found is None:
                raise NotFound(
                    "call.not_found", f"there is no call {call_id}.", field="call", remedy="See `viox unknowns`."
                )
            raise Conflict("call.not_unknown", f"the call is {found['state']}, not unknown.", field="call")
        await connection.execute(SQL["record_settled"], call_id, row["attempt"], {"by": by, "state": state})
        return call_document(row)


async def tools(pool: Any) -> list[dict[str, Any]]:
    return [
        {
            "tool": r["tool"],
            "vendor": r["vendor"],
            "method": r["method"],
            "path": r["path"],
            "effect": r["effect"],
            "risk": r["risk"],
            "granted_to": r["granted_to"],
            "ruled_by": r["ruled_by"],
            "paused": r["paused"],
            "description": r["description"],
            "input_schema": r["input_schema"],
        }
        for r in await pool.fetch(SQL["tools"])
    ]


def _call_id(text: str) -> str:
    parse_call_id(text)
    return text
