"""What it costs to judge a call: its schema, the policies, and what they want to know from the tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy import files
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.facts import known_of
from services.tool_gateway.policy.schema import HISTORY
from shared.ids import CallId, RunId, call_id, run_id, thread_id
from shared.store.pool import open_pool

SEND = "twilio_send_message"
TEXT = {"To": "+14155550123", "Body": "Your visit is at nine tomorrow."}
READ, FOUND = "hubspot_get_contact_by_email", {"email": "ana@example.com"}
ROWS = 10_000  # calls of the same tool within the day
TIMES = 2_000
FILL = """insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, vendor, effect, state, attempt,
    arguments, arguments_sha256, counterparties, created_at)
select 'bench.' || n, $1, 0, n, 'closer', $2, 'c', 'twilio_send_message', 'twilio', 'once', 'succeeded', 1, '{}', '',
    array['+1415' || n], now() - n * interval '5 seconds' from generate_series(1, $3::int) n"""


class _Call:
    """A call as far as facts are looked up for it."""

    def __init__(self, run: RunId, step: int) -> None:
        self.call_id: CallId = call_id(run, step, 0)
        self.agent, self.tool, self.step, self.run_id = "closer", SEND, step, run
        self.thread_id, self.conversation_id, self.arguments = (
            thread_id("closer", "bench judging"),
            "bench judging",
            TEXT,
        )


async def measure(dsn: str) -> dict[str, float]:
    """Microseconds a call, by what is done. Leaves the tables as they were."""
    tools = catalogue.load()
    policies = Policies(files.texts(None), tools)
    history: dict[str, Any] = {name: kind == "Bool" if kind == "Bool" else 3 for name, kind in HISTORY.items()}
    known, at = Known(history, frozenset(), True, {"type": "x", "ours": True}, False), datetime.now()
    text = tools.tools[SEND]
    made = {
        "schema": _per_call(lambda: text.problem_with(TEXT)),
        "policies that read nothing": _per_call(lambda: policies.judge("closer", READ, "c", FOUND, Known(), at)),
        "policies of a message": _per_call(lambda: policies.judge("closer", SEND, "c", TEXT, known, at)),
    }
    return made | await _facts(dsn, policies, tools)


async def _facts(dsn: str, policies: Policies, tools: catalogue.Catalogue) -> dict[str, float]:
    pool = await open_pool(dsn, application="bench judging", size=1)
    run, made = run_id("closer", "/bench", "judging"), {}
    try:
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            for rows in (0, ROWS):
                await connection.execute(FILL, run, thread_id("closer", "bench judging"), rows)
                for many in (1, 50):
                    calls = [_Call(run, step) for step in range(many)]
                    started, rounds = time.perf_counter(), 20
                    for _ in range(rounds):
                        await known_of(connection, policies, tools.tools, calls)
                    each = (time.perf_counter() - started) / rounds / many * 1_000_000
                    made[f"facts of a message, {rows:,} that day, {many} at once"] = each
            await transaction.rollback()
    finally:
        await pool.close()
    return made


def _per_call(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    for _ in range(TIMES):
        work()
    return (time.perf_counter() - started) / TIMES * 1_000_000
