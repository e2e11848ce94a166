"""From Kafka record to inbox row: what is it, whose is it, have we seen it? Slow work never happens here.

A record that cannot be understood becomes a dead letter with its original bytes; its neighbours are not held up.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import ValidationError

from shared.bus import topics
from shared.bus.envelope import Message, conflict, parse_record
from shared.bus.events import TASK_TYPE, EventType, check_data, event_type
from shared.bus.kafka import Record
from shared.bus.messages import CALL_CLOSED, ToolCallClosed
from shared.errors import BadInput, VioxError
from shared.ids import parse_call_id, run_id, thread_id
from shared.runtime import consent
from shared.runtime.agent import AgentSpec
from shared.runtime.schedule import Limits, Scheduler
from shared.runtime.store import Accepted, RuntimeStore
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class Inbox:
    """Accepts what an agent consumes and tells which threads have something new."""

    def __init__(self, spec: AgentSpec, store: RuntimeStore, threads: Scheduler, owner: str, limits: Limits) -> None:
        self._spec = spec
        self._store = store
        self._threads = threads
        self._owner = owner
        self._limits = limits

    async def accept(self, records: Sequence[Record]) -> None:
        """Store a batch. When this returns every record is an inbox row, a dead letter, or not ours."""
        failpoint("agent.before_inbox")
        understood: list[tuple[Record, Message]] = []
        for record in records:
            metrics.MESSAGES_CONSUMED.labels(self._spec.name, record.topic).inc()
            try:
                understood.append((record, _understand(record)))
            except VioxError as error:
                await self.bury(record, error)
        self._hear_closed_calls([message for _, message in understood if message.type == CALL_CLOSED])
        items = await self._addressed_to_us([(r, m) for r, m in understood if m.type != CALL_CLOSED])
        if items:
            await self._store_items(items)

    def _hear_closed_calls(self, messages: Sequence[Message]) -> None:
        """Wake the threads that wait for these calls. What became of a call its row says, whoever sent the message."""
        for message in messages:
            thread = thread_id(self._spec.name, message.conversation_id or "")
            self._threads.closed(thread, message.id)

    async def _store_items(self, items: Sequence[Accepted]) -> None:
        take = self._threads.has_room
        fresh, taken = await self._store.accept(items, self._owner, self._limits.lease_seconds, take=take)
        for claimed in taken:
            self._threads.work_on(claimed)
        await self._check_repeats(items, set(fresh))
        failpoint("agent.after_inbox_before_offset")
        for thread in dict.fromkeys(fresh.values()):
            self._threads.wake(thread)

    async def _check_repeats(self, items: Sequence[Accepted], fresh: set[tuple[str, str]]) -> None:
        """A repeat says what the first one said and is dropped. The same identity with other content is nobody's repeat."""
        repeats: list[Accepted] = []
        for item in items:
            identity = (item.message.source, item.message.id)
            if identity in fresh:
                fresh.discard(identity)
            else:
                repeats.append(item)
        if not repeats:
            return
        metrics.MESSAGES_REPEATED.labels(self._spec.name).inc(len(repeats))
        held = await self._store.held([item.message for item in repeats])
        for item in repeats:
            first = held.get((item.message.source, item.message.id))
            if first is not None and not first.says_the_same(item.message):
                metrics.INCIDENTS.labels("event.conflict").inc()
                await self.bury(item.record, conflict(item.message))

    async def bury(self, record: Record, error: VioxError) -> None:
        """Set a record aside with its original bytes."""
        log.warning(
            "message.dead_lettered", topic=record.topic, partition=record.partition, offset=record.offset, error=error
        )
        metrics.DEAD_LETTERS.labels(self._spec.name, error.code).inc()
        message = _message_or_none(record)
        await self._store.dead_letter(record, error, attempts=1, message=message, run_id=None)

    async def _addressed_to_us(self, understood: Sequence[tuple[Record, Message]]) -> list[Accepted]:
        items: list[Accepted] = []
        addressed: list[tuple[Record, Message, EventType]] = []
        for record, message in understood:
            if message.type == TASK_TYPE:
                items.append(self._accepted(record, message, "task", message.conversation_id or message.id))
            elif (entry := event_type(message.type)).addressed:
                addressed.append((record, message, entry))
            elif self._spec.name in entry.owners:
                items.append(self._accepted(record, message, "event", self._conversation(message)))
        if addressed:
            items.extend(await self._owned(addressed))
        return items

    async def _owned(self, addressed: Sequence[tuple[Record, Message, EventType]]) -> list[Accepted]:
        wanted = [
            (m.source, m.id, entry.addressed or "", str(m.data.get(entry.address_field or "", "")), entry.owners[0])
            for _, m, entry in addressed
        ]
        if found := consent.wishes((message, entry) for _, message, entry in addressed):
            async with self._store.transaction() as connection:
                await consent.record(connection, found)
        routes = await self._store.routes(wanted)
        items = []
        for record, message, _ in addressed:
            agent, conversation = routes[(message.source, message.id)]
            if agent == self._spec.name:
                items.append(self._accepted(record, message, "event", conversation or self._conversation(message)))
        return items

    def _conversation(self, message: Message) -> str:
        return message.conversation_id or self._spec.conversation(message)

    def _accepted(self, record: Record, message: Message, kind: str, conversation: str) -> Accepted:
        agent = self._spec.name
        parent = message.extensions.get("parentrunid")
        return Accepted(
            record,
            message,
            kind,
            thread_id(agent, conversation),
            conversation,
            run_id(agent, message.source, message.id),
            UUID(parent) if parent else None,
        )


def _understand(record: Record) -> Message:
    """Parse and check one record against what its topic may carry. Raises BadInput naming what is wrong."""
    message = parse_record(record.value, record.headers)
    if parent := message.extensions.get("parentrunid"):
        _uuid(parent)
    if record.topic.startswith(topics.TOOL_RESULTS):
        _expect(message, CALL_CLOSED)
        try:
            ToolCallClosed.model_validate(message.data)
            parse_call_id(message.id)
        except (ValidationError, ValueError) as error:
            raise BadInput("event.invalid_data", f"not a closed call: {error}.", field="data") from error
        return message
    if record.topic.startswith(topics.TASKS):
        _expect(message, TASK_TYPE)
    elif (entry := event_type(message.type)).topic != record.topic:
        raise BadInput(
            "event.wrong_topic",
            f"{message.type} does not belong on {record.topic}.",
            field="type",
            remedy=f"Publish it to {entry.topic}.",
        )
    check_data(message.type, message.data)
    return message


def _uuid(text: str) -> None:
    try:
        UUID(text)
    except ValueError as error:
        raise BadInput("event.malformed", f"{text!r} is not a run id.", field="parentrunid") from error


def _expect(message: Message, wanted: str) -> None:
    if message.type != wanted:
        raise BadInput(
            "event.unknown_type",
            f"{message.type!r} is not accepted on this topic.",
            field="type",
            remedy=f"Only {wanted} is.",
        )


def _message_or_none(record: Record) -> Message | None:
    try:
        return parse_record(record.value, record.headers)
    except VioxError:
        return None
