"""One agent's runtime without Kafka and with a model that answers from a list."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.voice.agent import VOICE
from shared.bus import topics
from shared.bus.envelope import Message
from shared.bus.kafka import Record
from shared.bus.messages import call_closed, task
from shared.bus.outbox import Outbox
from shared.errors import VioxError
from shared.ids import CallId, RunId, ThreadId, run_id, thread_id
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, Usage
from shared.runtime.activation import Activator, Limits
from shared.runtime.inbox import Inbox
from shared.runtime.saver import ThreadSaver
from shared.runtime.store import RuntimeStore
from shared.store.pool import Instance, Pool

CLOSER = replace(VOICE, name="closer")  # Voice's plain graph under the role this pool belongs to
LIMITS = Limits(lease_seconds=5, max_attempts=2, concurrency=8)


USAGE = Usage(input=100, output=7)


class Model:
    """Answers from a list; an exception in it is raised."""

    provider, model = "scripted", "scripted"

    def __init__(self, *turns: AssistantMessage | Exception) -> None:
        self.turns = list(turns)
        self.requests: list[ChatRequest] = []
        self.gate: asyncio.Event | None = None

    async def aclose(self) -> None:
        """Nothing is open."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        if self.gate:
            await self.gate.wait()
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return ChatReply(turn, "tool_calls" if turn.calls else "end", "scripted", "scripted", USAGE)


class NoProducer:
    """A broker that takes nothing: what is not sent stays in the outbox."""

    connected = True

    async def send(self, *_: Any) -> Any:
        raise VioxError("kafka.unavailable", "none in this test")


class Agent:
    """One replica of an agent without Kafka around it."""

    def __init__(self, pool: Pool, dsn: str, model: Model) -> None:
        self.instance = Instance(dsn, "closer")
        self.store = RuntimeStore(pool, "closer")
        self.outbox = Outbox("closer", pool, NoProducer())  # type: ignore[arg-type]
        self.woken: list[ThreadId] = []
        self.inbox = Inbox(CLOSER, self.store, self.woken.append)
        self.model = model
        self.activator = Activator(
            CLOSER, self.store, ThreadSaver(pool), model, self.outbox, self.instance.owner, LIMITS
        )

    async def accept(self, *messages: tuple[str, Message]) -> None:
        await self.inbox.accept([record(topic, message, n) for n, (topic, message) in enumerate(messages)])

    async def work(self) -> None:
        """Work on everything that was woken, to the end."""
        for thread in dict.fromkeys(self.woken):
            self.activator.wake(thread)
        self.woken.clear()
        while self.activator._tasks:
            await asyncio.wait(self.activator._tasks)


async def keep_trying(agent: Agent, admin: Any, times: int) -> None:
    """As the sweep would, without the waiting in between."""
    for _ in range(times):
        await admin.execute("update threads set retry_at = null")
        agent.woken.append(thread_id("closer", "c"))
        await agent.work()


async def statuses(admin: Any) -> dict[str, str]:
    """Trigger id → status, as the command line shows it."""
    rows = await admin.fetch("select trigger_id, status from run_overview order by trigger_id")
    return {row["trigger_id"]: row["status"] for row in rows}


def record(topic: str, message: Message, offset: int) -> Record:
    key, value, headers = message.to_kafka()
    return Record(topic, 0, offset, key, value, tuple(headers))


def ask(text: str, conversation: str = "c", number: str = "1") -> tuple[str, Message]:
    return topics.tasks("closer"), task("closer", number, "/t", text, {}, datetime.now(UTC), conversation)


def result(call: str, value: Any, conversation: str = "c") -> tuple[str, Message]:
    run = RunId(run_id("closer", "/t", "1"))
    message = call_closed(CallId(call), run, "succeeded", value, None, conversation, datetime.now(UTC), None)
    return topics.tool_results("closer"), message


def calls(*tools: str) -> AssistantMessage:
    return AssistantMessage("", tuple(ModelToolCall("id", tool, {}) for tool in tools))


RUN = run_id("closer", "/t", "1")
DONE = AssistantMessage("done")
