"""Conversations as they are months later: their runs are over, their calls are closed, everything is on record."""

from __future__ import annotations

from uuid import UUID, uuid4

from shared.ids import run_id
from tests.integration.audit.world import Log

THREAD = """insert into threads (thread_id, agent, conversation_id, next_seq, created_at, updated_at)
            values ($1, 'closer', $2, 3, $3::timestamptz, $3::timestamptz)"""
RUN = """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type, started_at,
                           finished_at, steps, tool_calls, text)
         values ($1::uuid, 'closer', $2, $3, 'finished', '/t', $5, 'x', $4::timestamptz, $4::timestamptz, 3, 1, 'done')"""
STEPS = """insert into steps (agent, run_id, step, thread_id, seq, kind, body, created_at)
           select 'closer', $1, n, $2, n, 'note', json_build_object('text', E'tab\\t and line\\n ü ' || n), $3::timestamptz
           from generate_series(0, 2) n"""
CALL = """insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, state, arguments, arguments_sha256,
                                  result, created_at, closed_at)
          values ($1, $2, 1, 0, 'closer', $3, $4, 'email_send', 'succeeded', '{"to": "ana@example.com"}', repeat('0', 64),
                  '{"id": 1}', $5::timestamptz, $5::timestamptz)"""


async def ended(log: Log, months_ago: int = 5, conversation: str | None = None) -> tuple[UUID, str]:
    """A conversation with one run and one call that ended so many months ago. Its thread and its call."""
    thread, trigger = uuid4(), str(uuid4())
    run = run_id("closer", "/t", trigger)
    name = conversation or f"c-{thread}"
    at = await log.admin.fetchval(
        "select date_trunc('month', now()) - $1 * interval '1 month' + interval '9 days'", months_ago
    )
    call = await log.call()
    await log.admin.execute(THREAD, thread, name, at)
    await log.admin.execute(RUN, run, thread, name, at, trigger)
    await log.admin.execute(STEPS, run, thread, at)
    await log.admin.execute(CALL, call, run, thread, name, at)
    return thread, call
