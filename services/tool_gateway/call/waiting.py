"""Calls that wait for people, as gauges."""

from __future__ import annotations

from pathlib import Path

from shared.bus.topics import AGENTS
from shared.store.pool import Pool
from shared.store.sql import Queries
from shared.telemetry import metrics

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def look(pool: Pool) -> None:
    rows = {row["agent"]: row for row in await pool.fetch(SQL["approvals"])}
    for agent in AGENTS:
        metrics.APPROVALS_WAITING.labels(agent).set(rows[agent]["waiting"] if agent in rows else 0)
    metrics.APPROVALS_EXPIRING.set(sum(row["expiring"] for row in rows.values()))
    metrics.UNKNOWN_AGE.set(await pool.fetchval(SQL["unknown"]) or 0.0)
