"""Publish viox.run.waiting for runs of unknown calls, in the transaction in which the call became unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.call.store import GatewayStore
from shared.bus import topics
from shared.bus.messages import RUN_WAITING, run_changed
from shared.bus.outbox import insert, outgoing
from shared.ids import parse_call_id
from shared.runs import run_document


async def announce_waiting(store: GatewayStore, connection: Any, call_ids: Sequence[str]) -> None:
    """Put viox.run.waiting for the runs of these calls into the outbox."""
    runs = sorted({parse_call_id(call)[0] for call in call_ids})
    now = datetime.now(UTC)
    rows = [
        outgoing(topics.RUNS, run_changed(RUN_WAITING, run_document(run), now))
        for run in await store.runs(connection, runs)
    ]
    await insert(connection, topics.GATEWAY, rows, delay=0)
