"""LangGraph's checkpoints, buffered in memory and flushed inside the activation's own commit.

While a model thinks no transaction is open; what LangGraph wants saved waits here until the runtime commits steps,
thread version and outgoing messages together. A thread that waits has one checkpoint; a finished run has none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

from shared.store.pool import Pool
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))


@dataclass
class Buffer:
    """What one thread's activation wants saved: rows as the tables have them."""

    checkpoints: list[tuple[str, str, str | None, bytes, bytes]] = field(default_factory=list)
    writes: list[tuple[str, str, str, int, str, bytes, str]] = field(default_factory=list)
    fresh: bool = False


class ThreadSaver(BaseCheckpointSaver[int]):
    """A checkpoint saver over asyncpg. With `buffered` (the runtime's way) puts stay in memory until `take`.

    Each `begin` is followed by a `take`, whatever happens in between.
    """

    def __init__(self, pool: Pool, *, buffered: bool = True) -> None:
        super().__init__()
        self._pool = pool
        self._buffered = buffered
        self._buffers: dict[str, Buffer] = {}

    def begin(self, thread: str, *, fresh: bool) -> None:
        """Forget what a discarded activation of this thread left behind. A fresh one starts without its stored checkpoint."""
        self._buffers[thread] = Buffer(fresh=fresh)

    def take(self, thread: str) -> Buffer:
        """The rows to write in the caller's transaction."""
        return self._buffers.pop(thread, Buffer())

    def get_next_version(self, current: int | None, channel: None = None) -> int:
        return (current or 0) + 1

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread, ns = _place(config)
        row = (
            ns,
            checkpoint["id"],
            get_checkpoint_id(config),
            self._dump(checkpoint),
            self._dump(get_checkpoint_metadata(config, metadata)),
        )
        self._buffer(thread).checkpoints.append(row)
        if not self._buffered:
            await self._flush(thread)
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        thread, ns = _place(config)
        checkpoint_id = get_checkpoint_id(config) or ""
        rows = self._buffer(thread).writes
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            rows.append((ns, checkpoint_id, task_id, index, channel, self._dump(value), task_path))
        if not self._buffered:
            await self._flush(thread)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread, ns = _place(config)
        buffer = self._buffers.get(thread)
        if self._buffered and buffer and buffer.fresh:
            return None
        row = await self._pool.fetchrow(SQL["get_checkpoint"], thread, ns, get_checkpoint_id(config))
        return await self._tuple(thread, row) if row else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the base class names it so
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        thread = config["configurable"]["thread_id"] if config else None
        ns = config["configurable"].get("checkpoint_ns") if config else None
        wanted = get_checkpoint_id(config) if config else None
        earlier = get_checkpoint_id(before) if before else None
        shown = 0
        for row in await self._pool.fetch(SQL["list_checkpoints"], thread, ns, wanted, earlier):
            found = await self._tuple(row["thread_id"], row)
            if filter and any(found.metadata.get(key) != value for key, value in filter.items()):
                continue
            if limit is not None and shown >= limit:
                return
            shown += 1
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        await self._pool.execute(SQL["delete_writes"], thread_id)
        await self._pool.execute(SQL["delete_checkpoints"], thread_id)

    async def _flush(self, thread: str) -> None:
        buffer = self.take(thread)
        await self._pool.executemany(SQL["put_checkpoint"], [(thread, *row) for row in buffer.checkpoints])
        await self._pool.executemany(SQL["put_write"], [(thread, *row) for row in buffer.writes])

    async def _tuple(self, thread: str, row: Any) -> CheckpointTuple:
        ns, checkpoint_id = row["ns"], row["checkpoint_id"]
        writes = await self._pool.fetch(SQL["get_writes"], thread, ns, checkpoint_id)
        place = {"thread_id": thread, "checkpoint_ns": ns}
        parent: RunnableConfig | None = (
            {"configurable": {**place, "checkpoint_id": row["parent_id"]}} if row["parent_id"] else None
        )
        return CheckpointTuple(
            config={"configurable": {**place, "checkpoint_id": checkpoint_id}},
            checkpoint=self._load(row["checkpoint"]),
            metadata=self._load(row["metadata"]),
            parent_config=parent,
            pending_writes=[(w["task_id"], w["channel"], self._load(w["value"])) for w in writes],
        )

    def _buffer(self, thread: str) -> Buffer:
        return self._buffers.setdefault(thread, Buffer())

    def _dump(self, value: Any) -> bytes:
        kind, raw = self.serde.dumps_typed(value)
        return kind.encode() + b"\0" + raw

    def _load(self, stored: bytes) -> Any:
        kind, raw = stored.split(b"\0", 1)
        return self.serde.loads_typed((kind.decode(), raw))


def _place(config: RunnableConfig) -> tuple[str, str]:
    where = config["configurable"]
    return where["thread_id"], where.get("checkpoint_ns", "")
