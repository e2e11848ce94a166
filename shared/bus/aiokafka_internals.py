"""Every private name of aiokafka 0.14 that we use. A contract test names them, so that a new version fails there first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.group_coordinator import LeaveGroupRequest
from aiokafka.errors import KafkaConnectionError

LEAVE_REQUEST_SECONDS = 0.5
STOP_SECONDS = 3.0
END_SECONDS = 1.0


def set_fetch_wait(consumer: AIOKafkaConsumer, milliseconds: int) -> None:
    """Change how long the broker may hold a fetch, which aiokafka allows only when a consumer is made."""
    consumer._fetcher._fetch_max_wait_ms = milliseconds


async def leave_group(consumer: AIOKafkaConsumer) -> None:
    """Leave the group in generation 0, which aiokafka's own `stop` forgets to: the next member would wait for us."""
    coordinator = consumer._coordinator
    member = getattr(coordinator, "member_id", "")
    if member and getattr(coordinator, "generation", -1) == 0:
        await ended(coordinator._send_req(LeaveGroupRequest(coordinator.group_id, member)), LEAVE_REQUEST_SECONDS)


async def close_connections(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Close what a `stop` that failed or was cut short left open."""
    connections = client.client if isinstance(client, AIOKafkaProducer) else client._client
    with contextlib.suppress(Exception):
        await connections.close()


async def drop_producer(producer: AIOKafkaProducer, seconds: float = STOP_SECONDS) -> None:
    """Stop a producer in whatever state it is. It has `seconds` to send what it holds; later the outbox sends it again."""
    await ended(producer.stop(), seconds)
    await end_sender(producer)
    await close_connections(producer)


async def end_sender(producer: AIOKafkaProducer) -> None:
    """End the task that sends, which a `stop` that was cut short leaves running, and fail what it had not sent."""
    sender = producer._sender.sender_task
    for _ in range(2):  # cancelled once it still waits for the requests that are under way
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait([sender], timeout=END_SECONDS)
    unsent = producer._message_accumulator
    unsent.fail_all(KafkaConnectionError("the producer was stopped"))
    for batch in [*unsent._pending_batches, *(one for batches in unsent._batches.values() for one in batches)]:
        if batch._drain_waiter.done():
            batch._drain_waiter.exception()  # nobody waits for it, and asyncio would complain


async def ended(work: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Wait for work that ought to end; cancel it when it does not. Never raises what the work raises."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
    if task.done() and not task.cancelled():
        task.exception()
