"""One agent's runtime without Kafka and with a model that answers from a list."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.bus import topics
from shared.bus.dead_letters import Redrives
from shared.bus.envelope import Message
from shared.bus.kafka import Record
from shared.bus.messages import call_closed, task
from shared.bus.outbox import Outbox
from shared.ids import CallId, RunId, ThreadId, parse_call_id, run_id, thread_id
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, Usage
from shared.runtime.activation import Activator
from shared.runtime.announce import Announcer
from shared.runtime.inbox import Inbox
from shared.runtime.schedule import Limits, Scheduler
from shared.runtime.store import Claimed, RuntimeStore
from shared.store.instance import Instance
from shared.store.pool import Pool, is_transient
from tests.integration.publisher import RecordingPublisher
from tests.plain_agent import PLAIN

CLOSER = PLAIN  # its name is that of the role this pool belongs to
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


class Woken(Scheduler):
    """Notes which threads have something new; `Agent.work` works on them. Takes no thread when it is stored if `full`."""

    def __init__(self, activator: Activator) -> None:
        super().__init__(activator._activate, activator._store, activator._owner, LIMITS)
        self.woken: list[ThreadId] = []
        self.taken: list[Claimed] = []
        self.full = False

    @property
    def has_room(self) -> bool:
        return not self.full

    def wake(self, thread: ThreadId) -> None:
        self.woken.append(thread)

    def work_on(self, claimed: Claimed) -> None:
        self.taken.append(claimed)


async def _no_poison(record: Record, error: Exception) -> None:
    raise AssertionError(f"{record} cannot be stored") from error


class Agent:
    """One replica of an agent without Kafka around it."""

    def __init__(self, pool: Pool, dsn: str, model: Model) -> None:
        self.instance = Instance(dsn, "closer")
        self.store = RuntimeStore(pool, "closer")
        self.publisher = RecordingPublisher("closer")
        self.outbox = Outbox("closer", pool, self.publisher)
        self.model = model
        owner = self.instance.owner
        self.announcer = Announcer("closer", self.store, self.publisher, owner)
        self.activator = Activator(CLOSER, self.store, model, self.publisher, self.announcer, owner, LIMITS)
        self.threads = Woken(self.activator)
        self.inbox = Inbox(CLOSER, self.store, self.threads, owner, LIMITS)
        self.redrives = Redrives("closer", pool, self.inbox.accept_again, _no_poison, is_transient)

    async def hear(self, admin: Any, call: str, value: Any) -> None:
        """A call was closed, and the message that says so arrives."""
        await close_call(admin, call, value)
        await self.accept(closed(call, value))

    async def accept(self, *messages: tuple[str, Message]) -> None:
        await self.inbox.accept([record(topic, message, n) for n, (topic, message) in enumerate(messages)])

    async def work(self) -> None:
        """Work on everything that was woken, to the end."""
        scheduler = self.activator.threads
        for claimed in self.threads.taken:
            scheduler.work_on(claimed)
        for thread in dict.fromkeys(self.woken):
            scheduler.wake(thread)
        self.woken.clear()
        self.threads.taken.clear()
        while scheduler._tasks:
            await asyncio.wait(scheduler._tasks)

    @property
    def woken(self) -> list[ThreadId]:
        return self.threads.woken

    def sent(self, topic: str) -> list[str]:
        """Ids of the messages that were published to a topic, in order."""
        return [m.id for to, m in self.publisher.messages if to == topic]


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


async def close_call(admin: Any, call: str, value: Any) -> None:
    """The gateway closed a call: its row says what became of it."""
    run, step, index = parse_call_id(call)
    await admin.execute(
        "insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments, arguments_sha256,"
        " result, closed_at) values ($1, $2, $3, $4, 'closer', 'c', 'a', 'succeeded', '{}', '', $5, now())"
        " on conflict do nothing",
        call,
        run,
        step,
        index,
        orjson.dumps(value).decode(),
    )


def closed(call: str, value: Any = None, conversation: str = "c") -> tuple[str, Message]:
    """The message that a call was closed."""
    run = RunId(run_id("closer", "/t", "1"))
    message = call_closed(CallId(call), run, "succeeded", value, None, conversation, datetime.now(UTC), None)
    return topics.tool_results("closer"), message


def calls(*tools: str) -> AssistantMessage:
    return AssistantMessage("", tuple(ModelToolCall("id", tool, {}) for tool in tools))


RUN = run_id("closer", "/t", "1")
DONE = AssistantMessage("done")
