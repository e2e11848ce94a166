"""A message to a person is a call of the gateway's own, in the run that it is about, with step -1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from services.tool_gateway.approvals.notices import Letter
from services.tool_gateway.call.call import Candidate, Decision, Requested
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.tools import Tool
from shared.bus import topics
from shared.ids import CallId, RunId, call_id, thread_id
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("approvals.sql"))
NOTICE_STEP = -1  # of a run's calls, none of whose agent's own steps is negative


@dataclass(frozen=True, slots=True)
class About:
    """What a message is about: a run, and in it `conversation`; after `until` it is not sent any more."""

    run_id: UUID
    conversation: str
    traceparent: str | None
    until: datetime


async def send(
    store: GatewayStore, connection: Any, tools: Mapping[str, Tool], letter: Letter, about: About, check: dict[str, Any]
) -> CallId:
    """Store the call that tells somebody, in the transaction that notes that they are told."""
    await connection.execute(*SQL.bind("lock_notices", run=str(about.run_id)))
    index = await connection.fetchval(*SQL.bind("next_notice", run=about.run_id))
    run = RunId(about.run_id)
    call = Requested(
        CallId(call_id(run, NOTICE_STEP, index)),
        run,
        NOTICE_STEP,
        index,
        topics.GATEWAY,
        thread_id(topics.GATEWAY, about.conversation),
        about.conversation,
        letter.tool,
        letter.arguments,
        about.traceparent,
        about.until,
        created_at=datetime.now(UTC),
    )
    await store.intake([Decision(Candidate(call), [check], tools.get(letter.tool))], connection)
    return call.call_id
