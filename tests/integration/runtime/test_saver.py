"""LangGraph's own conformance suite for checkpoint savers, and what buffering promises."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.conformance import checkpointer_test, validate

from shared.runtime.saver import ThreadSaver
from shared.store.pool import Pool
from tests.integration.runtime.world import DONE, RUN, ask, calls, result


async def test_saver_conforms(closer_pool: Pool) -> None:
    @checkpointer_test(name="ThreadSaver")  # type: ignore[untyped-decorator]  # the suite carries no types
    async def saver() -> Any:
        yield ThreadSaver(closer_pool, buffered=False)

    report = await validate(saver)
    assert report.passed_all_base(), report


async def test_buffered_puts_touch_no_table_until_taken(closer_pool: Pool) -> None:
    saver = ThreadSaver(closer_pool)
    saver.begin("t", fresh=True)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    checkpoint: Any = {"v": 4, "id": "1", "ts": "", "channel_values": {}, "channel_versions": {}, "versions_seen": {}}
    await saver.aput(config, checkpoint, {}, {})
    assert await saver.aget_tuple(config) is None
    assert await closer_pool.fetchval("select count(*) from checkpoints") == 0
    assert len(saver.take("t").checkpoints) == 1


async def test_nothing_of_a_conversation_stays_in_memory_however_its_activation_ends(agents: Any, admin: Any) -> None:
    agent = await agents(DONE, RuntimeError("boom"), calls("a"), DONE)
    for task in (ask("finishes", "first", "0"), ask("fails", "second", "2"), ask("waits", "third", "1")):
        await agent.accept(task)
        await agent.work()
    assert await admin.fetchval("select count(*) from checkpoints") == 1
    assert agent.activator._saver._buffers == {}
    await agent.accept(result(f"{RUN}.1.0", 1, "third"))
    await agent.work()
    assert await admin.fetchval("select status from runs where trigger_id = '1'") == "finished"
    assert agent.activator._saver._buffers == {}
