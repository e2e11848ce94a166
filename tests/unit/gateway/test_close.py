"""Outcomes are written many at a time, in batches that Postgres takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.call.call import Outcome, Ready, Requested
from services.tool_gateway.call.close import BATCH, BATCH_BYTES, OutcomeWriter
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.wire.prepared import Prepared
from shared.ids import CallId, RunId, ThreadId

TOOL = catalogue.load().tools["hubspot_list_owners"]


class Store:
    """Takes every outcome, and remembers how many came at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def close(self, outcomes: Sequence[Outcome], connection: Any = None) -> set[str]:
        self.batches.append(len(outcomes))
        return {one.call_id for one in outcomes}


class Sink:
    def publish(self, topic: str, message: Any) -> None:
        """Nobody listens."""


def ready(number: int) -> Ready:
    call = Requested(
        CallId(f"r.{number}.0"),
        RunId(UUID(int=1)),
        number,
        0,
        "closer",
        ThreadId(UUID(int=2)),
        "c",
        TOOL.name,
        {},
        None,
    )
    return Ready(call, TOOL, Prepared("GET", "https://x", [], b""), 1, 0.0, 0.0)


async def batches(bodies: Sequence[bytes]) -> list[int]:
    store = Store()
    writer = OutcomeWriter(cast(Any, store), cast(Any, Sink()), lambda moment: None)
    for number, body in enumerate(bodies):
        writer.submit(ready(number), Answer(200, [], body), AttemptResult("succeeded"), 1.0)
    writing = asyncio.create_task(writer.run())
    await writer.drain(60)
    writing.cancel()
    return store.batches


async def test_many_small_outcomes_share_a_commit() -> None:
    assert await batches([b"x"] * (BATCH + 1)) == [BATCH, 1]


async def test_large_answers_do_not_add_up_beyond_what_a_statement_takes() -> None:
    large = bytes(BATCH_BYTES // 2)
    assert await batches([large] * 5) == [2, 2, 1]
