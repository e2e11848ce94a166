"""The runs of live calls: one for each conversation of an agent. They are told on `viox.runs` as any, and end when their
conversation has ended or nobody has asked for anything for a while, and nothing is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.live.asking import SQL
from shared.bus import topics
from shared.bus.messages import RUN_FINISHED, RUN_STARTED, run_changed
from shared.bus.outbox import Outbox, insert, outgoing
from shared.ids import RunId
from shared.runs import run_document
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
EVERY_SECONDS = 2.0
# Events that say that a conversation is over; their subject is the conversation.
ENDINGS = ("com.elevenlabs.post_call_transcription", "com.twilio.call.completed")
ENDING_SOURCES = ("/elevenlabs", "/twilio")


class LiveRuns:
    """Tells of runs that began, and ends those that are over."""

    def __init__(self, store: GatewayStore, outbox: Outbox, idle_seconds: float) -> None:
        self._store = store
        self._outbox = outbox
        self._idle_seconds = idle_seconds
        self._opened: list[RunId] = []

    def opened(self, run: RunId) -> None:
        """A run has begun. It is told of with the others of the last moments."""
        self._opened.append(run)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.tell_opened()
                await self.end_idle()
            except Exception as error:  # noqa: BLE001  # Postgres away: tried again
                log.warning("invoke.runs_not_ended", error=error)

    async def tell_opened(self) -> None:
        """Publish viox.run.started. Kept until it is stored, and no longer than this process lives: the end is told for sure."""
        opened = list(self._opened)
        if opened:
            async with self._store.transaction() as connection, connection.transaction():
                await self._announce(connection, RUN_STARTED, opened)
            del self._opened[: len(opened)]
            self._outbox.wake()

    async def end_idle(self) -> int:
        """End what is over, and put viox.run.finished into the outbox in the same transaction."""
        bound = SQL.bind(
            "end_runs", idle_seconds=self._idle_seconds, sources=list(ENDING_SOURCES), endings=list(ENDINGS)
        )
        async with self._store.transaction() as connection, connection.transaction():
            ended = [row["run_id"] for row in await connection.fetch(*bound)]
            if ended:
                await self._announce(connection, RUN_FINISHED, ended)
        if ended:
            self._outbox.wake()
        return len(ended)

    async def _announce(self, connection: Any, event: str, runs: Sequence[UUID]) -> None:
        now = datetime.now(UTC)
        documents = [run_document(row) for row in await self._store.runs(connection, runs)]
        if event == RUN_STARTED:
            documents = [one | {"status": "running", "steps": 0, "waiting_for": []} for one in documents]
        rows = [outgoing(topics.RUNS, run_changed(event, one, now)) for one in documents]
        await insert(connection, topics.GATEWAY, rows, delay=0)
