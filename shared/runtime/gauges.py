"""How a service stands, for Prometheus: what waits in its outbox, its dead letters, its runs, what it has not taken from Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.bus.topics import AGENTS
from shared.regularly import regularly
from shared.store.pool import Pool
from shared.store.sql import Queries
from shared.telemetry import metrics

SQL = Queries(Path(__file__).with_suffix(".sql"))
EVERY_SECONDS = 5.0
COUNTED = 10_000
Lag = Callable[[], Awaitable[int | None]]


async def keep(service: str, pool: Pool, lag: Lag) -> None:
    """Look every few seconds, until cancelled."""
    await regularly(EVERY_SECONDS, lambda: look(service, pool, lag), "gauges.not_read")


async def look(service: str, pool: Pool, lag: Lag) -> None:
    if (waiting := await lag()) is not None:
        metrics.CONSUMER_LAG.labels(service).set(waiting)
    row = await pool.fetchrow(SQL["own_rows"], service, COUNTED)
    assert row is not None  # noqa: S101  # a select without from has one
    metrics.OUTBOX_AGE.labels(service).set(row["outbox_seconds"] or 0.0)
    metrics.DEAD_LETTERS_WAITING.labels(service).set(row["letters"])
    if service in AGENTS:
        metrics.RUNS_OPEN.labels(service).set(row["runs"])
        metrics.RUNS_WAITING_FOR_BUDGET.labels(service).set(row["waiting_for_budget"])
