"""Keeps what is remembered searchable: cuts notes into passages, and gives passages their vectors.

Whoever writes passages wakes it (`viox_memory`). With another model than before everything is embedded anew, in the
background: until that is done, what has no vector of this model yet is found by its words. The gateway that started last says
which model it is, so that replicas of two versions do not undo each other's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.tool_gateway.memory.embeddings import BATCH, Embeddings, Vector, as_text
from services.tool_gateway.memory.pieces import pieces_of
from shared.errors import BadInput, Unavailable, VioxError
from shared.store.pool import Pool
from shared.store.sql import Queries
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.waiting import within

SQL = Queries(Path(__file__).with_name("index.sql"))
CHANNEL = "viox_memory"
LOOK_SECONDS = 60.0
AFTER_FAILURE_SECONDS = 10.0
NOTES_AT_ONCE = 50
log = get_logger(__name__)


class Index:
    """The loop. `problem` is what keeps it from its work, for readiness to say."""

    def __init__(self, pool: Pool, embeddings: Embeddings | None) -> None:
        self._pool = pool
        self._embeddings = embeddings
        self._woken = asyncio.Event()
        self._indexed: set[int] = set()
        self._announced = False
        self.problem: str | None = None

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.catch_up()
                self.problem, seconds = None, LOOK_SECONDS
            except Exception as error:  # noqa: BLE001  # Postgres or the model away: again in a moment
                self._note(error)
                seconds = AFTER_FAILURE_SECONDS
            try:
                await within(seconds, self._woken.wait())
            except TimeoutError:
                continue

    async def catch_up(self) -> None:
        """Do all there is to do. Raises what keeps it from that."""
        if not self._announced:
            await self._announce()
        while await self._cut_notes():
            pass
        if self._embeddings:
            await self._embed_all(self._embeddings)

    async def _announce(self) -> None:
        """Say with which model everything is embedded from now on."""
        if self._embeddings:
            before = await self._pool.fetchval(*SQL.bind("announce", model=self._embeddings.name))
            if before not in (None, self._embeddings.name):
                log.info("memory.model_changed", before=before, now=self._embeddings.name)
        self._announced = True

    async def _cut_notes(self) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            notes = await connection.fetch(*SQL.bind("notes_to_cut", most=NOTES_AT_ONCE))
            if not notes:
                return 0  # to write nothing tells all the same, and would wake this loop again, for ever
            rows = [
                {"note_id": note["note_id"], "ordinal": ordinal, "text": piece.text}
                for note in notes
                for ordinal, piece in enumerate(pieces_of(note["text"], headings=False))
            ]
            await connection.execute(*SQL.bind("cut", notes=[note["note_id"] for note in notes], passages=rows))
        return len(notes)

    async def _embed_all(self, embeddings: Embeddings) -> None:
        left = await self._pool.fetchval(*SQL.bind("left", model=embeddings.name))
        metrics.MEMORY_TO_EMBED.set(left)
        while done := await self._embed_some(embeddings):
            left = max(left - done, 0)
            metrics.MEMORY_TO_EMBED.set(left)

    async def _embed_some(self, embeddings: Embeddings) -> int:
        """One batch, new passages first. Its rows are held meanwhile, so that replicas share the work."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(*SQL.bind("to_embed", most=BATCH))
            if not rows:
                rows = await connection.fetch(*SQL.bind("to_embed_anew", model=embeddings.name, most=BATCH))
            if not rows:
                return 0
            vectors = await self._vectors(embeddings, [row["text"] for row in rows])
            await self._index_for(connection, embeddings, vectors)
            given = [
                {"passage_id": row["passage_id"], "embedding": as_text(vector)}
                for row, vector in zip(rows, vectors, strict=True)
            ]
            await connection.execute(*SQL.bind("embedded", model=embeddings.name, vectors=given))
        return len(rows)

    async def _vectors(self, embeddings: Embeddings, texts: Sequence[str]) -> list[Vector | None]:
        """Of a batch that is refused, those of its texts that are not."""
        try:
            return await embeddings.embed(texts)
        except BadInput as error:
            if len(texts) == 1 and error.code == "embeddings.refused":
                log.warning("memory.not_embedded", error=error)
                return [None]
            if len(texts) == 1 or error.code != "embeddings.refused":
                raise
        made: list[Vector | None] = []
        for text in texts:
            made += await self._vectors(embeddings, [text])
        if not any(made):
            raise Unavailable("embeddings.unavailable", f"{embeddings.name} refuses every text of a batch.")
        return made

    async def _index_for(self, connection: Any, embeddings: Embeddings, vectors: Sequence[Vector | None]) -> None:
        for dimension in {len(vector) for vector in vectors if vector is not None} - self._indexed:
            await connection.execute(*SQL.bind("index_for", model=embeddings.name, dimension=dimension))
            self._indexed.add(dimension)

    def _note(self, error: Exception) -> None:
        problem = error.message if isinstance(error, VioxError) else f"{type(error).__name__}: {error}"
        if problem != self.problem:
            log.warning("memory.not_indexed", error=error)
        self.problem = problem
