"""Counts of deliveries: in the metrics at once, and in Postgres every few seconds, for `viox webhooks`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID, uuid5

from services.tool_gateway.webhooks.accept import SQL
from shared.ids import NAMESPACE
from shared.store.pool import Pool
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
FLUSH_SECONDS = 2.0
MOST_DETAIL = 200
UNKNOWN = "unknown"  # the source that deliveries to no source are counted under


@dataclass(slots=True)
class _Line:
    deliveries: int = 0
    detail: str | None = None


class Tally:
    """Deliveries that brought no event, by source, verdict and code."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lines: dict[tuple[str, str, str], _Line] = {}

    def count(self, webhook: str, verdict: str, code: str = "", detail: str | None = None) -> None:
        """One more delivery. Those that brought events have rows of their own."""
        metrics.WEBHOOKS.labels(webhook, verdict, code).inc()
        if verdict != "accepted":
            line = self._lines.setdefault((webhook, verdict, code), _Line())
            line.deliveries += 1
            line.detail = _printable(detail) if detail else line.detail

    async def run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted. What cannot be written now is kept for the next time."""
        lines, self._lines = self._lines, {}
        if not lines:
            return
        minute = int(time.time() // 60)
        rows = [
            {
                "delivery_id": str(_id(webhook, verdict, code, minute)),
                "webhook": webhook,
                "verdict": verdict,
                "code": code or None,
                "detail": line.detail,
                "deliveries": line.deliveries,
            }
            for (webhook, verdict, code), line in lines.items()
        ]
        try:
            await self._pool.execute(*SQL.bind("tally", rows=rows))
        except Exception as error:  # noqa: BLE001  # counts must not take the gateway down
            log.warning("webhooks.not_counted", error=error)
            for key, line in lines.items():
                kept = self._lines.setdefault(key, _Line())
                kept.deliveries, kept.detail = kept.deliveries + line.deliveries, kept.detail or line.detail


def _printable(detail: str) -> str:
    """Postgres takes no NUL, and terminals no control characters: details have words of senders in them."""
    return "".join(c if c.isprintable() else "?" for c in detail[:MOST_DETAIL])


def _id(webhook: str, verdict: str, code: str, minute: int) -> UUID:
    return uuid5(NAMESPACE, f"webhooks\n{webhook}\n{verdict}\n{code}\n{minute}")
