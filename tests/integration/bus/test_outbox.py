"""The outbox on real Postgres against a broker that can be there or not: nothing is lost, nothing waits without need."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.bus import topics
from shared.bus.dead_letters import write_dead_letter
from shared.bus.envelope import Headers, Message
from shared.bus.kafka import Record
from shared.bus.messages import task
from shared.bus.outbox import Outbox, insert, outgoing
from shared.bus.publisher import Publisher
from shared.errors import VioxError
from shared.store.pool import Pool


class FakeBroker:
    """Takes what it is sent while it is there, or refuses it with `error`."""

    def __init__(self) -> None:
        self.connected = False
        self.error: Exception | None = None
        self.taken: list[bytes] = []

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]:
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.error:
            ended.set_exception(self.error)
        else:
            self.taken.append(value)
            ended.set_result(None)
        return ended


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
async def outbox(closer_pool: Pool, broker: FakeBroker) -> Outbox:
    return Outbox("closer", closer_pool, Publisher("closer", broker))


def message(number: int) -> Message:
    return task("voice", f"m{number}", "/agents/closer", "x", {}, datetime.now(UTC), None)


async def stored(pool: Pool, number: int = 1) -> None:
    async with pool.acquire() as connection:
        row = outgoing(topics.tasks("voice"), message(number), ["voice"])
        await insert(connection, "closer", [row], delay=-1)


async def test_one_row_that_nobody_takes_for_days_holds_up_no_other(
    outbox: Outbox, broker: FakeBroker, closer_pool: Pool, admin: Any
) -> None:
    await stored(closer_pool, 1)
    await admin.execute("update outbox set attempts = 100000")
    await stored(closer_pool, 2)
    broker.connected = True
    assert await outbox.sweep() == 2
    assert await admin.fetchval("select max(next_at) < now() + interval '61 seconds' from outbox")


async def test_while_there_is_no_broker_nothing_counts_as_tried(
    outbox: Outbox, broker: FakeBroker, closer_pool: Pool, admin: Any
) -> None:
    await stored(closer_pool)
    assert await outbox.sweep() == 0
    assert await admin.fetchval("select attempts from outbox") == 0
    await admin.execute("update outbox set attempts = 9, next_at = now() + interval '60 seconds'")
    broker.connected = True
    assert await outbox.sweep() == 1, "once it is there, what waits goes at once"


async def test_more_than_a_batch_goes_in_one_sweep(outbox: Outbox, broker: FakeBroker, closer_pool: Pool) -> None:
    rows = [outgoing(topics.tasks("voice"), message(number), ["voice"]) for number in range(1200)]
    async with closer_pool.acquire() as connection:
        await insert(connection, "closer", rows, delay=-1)
    broker.connected = True
    assert await outbox.sweep() == 1200
    assert len(broker.taken) == 1200


async def test_a_refusal_by_the_broker_is_told_once(outbox: Outbox, broker: FakeBroker, closer_pool: Pool) -> None:
    broker.connected, broker.error = True, PermissionError("not allowed to write here")
    for number in range(3):
        await stored(closer_pool, number)
    with capture_logs() as lines:
        await outbox.sweep()
        await asyncio.sleep(0)
    told = [line for line in lines if "not allowed to write here" in str(line.get("error"))]
    assert [line["topic"] for line in told] == [topics.tasks("voice")]


@pytest.mark.parametrize("structured", [False, True])
async def test_a_letter_that_cannot_be_read_still_marks_that_it_arrived_and_is_announced(
    outbox: Outbox, broker: FakeBroker, closer_pool: Pool, admin: Any, structured: bool
) -> None:
    row = outgoing(topics.tasks("closer"), message(1), ["closer"])
    async with closer_pool.acquire() as connection:
        await insert(connection, "closer", [row], delay=-1)
    broker.connected = True
    assert await outbox.sweep() == 1
    headers = [] if structured else row.headers
    value = b'{"specversion": "1.0", "id": "m1", "source": "/agents/closer", "data": {"x": "\\u0000"}}'
    record = Record(topics.tasks("closer"), 0, 1, b"", value, tuple(headers))
    await admin.execute("update outbox set value = $1", value)  # what it sent is what came
    for _ in range(2):  # Kafka delivers it once more
        await write_dead_letter(closer_pool, "closer", record, VioxError("event.invalid_data", "a NUL"), 1, None, None)
    await admin.execute("update outbox set next_at = now() - interval '1 second'")
    assert await outbox.sweep() == 1, "only what tells of the letter"
    assert await admin.fetchval("select topic from outbox") == topics.DEAD_LETTERS
    assert b"event.invalid_data" in broker.taken[-1]
