"""From Kafka record to inbox row: what is it, whose is it, have we seen it? Slow work never happens here.

A record that cannot be understood becomes a dead letter with its original bytes; its neighbours are not held up.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import ValidationError

from shared.bus import topics
from shared.bus.envelope import PARENT_RUN, Message, conflict, conversation_key, is_ours, parse_record, refuse_reserved
from shared.bus.events import TASK_TYPE, EventType, check_data, event_type
from shared.bus.kafka import Record
from shared.bus.messages import CALL_CLOSED, FORKED, GATEWAY_SOURCE, ToolCallClosed, sender
from shared.errors import BadInput, VioxError
from shared.ids import call_id, parse_call_id, run_id, thread_id
from shared.runtime import consent
from shared.runtime.agent import AgentSpec
from shared.runtime.schedule import Limits, Scheduler
from shared.runtime.store import Accepted, RuntimeStore
from shared.runtime.traced import accepted
from shared.telemetry import metrics, spans
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger
from shared.telemetry.trace import span_of_run

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
        await self._accept(records, vouched=False)

    async def accept_again(self, records: Sequence[Record]) -> None:
        """Store records of our own dead letters: who sent them was seen when they came."""
        await self._accept(records, vouched=True)

    async def _accept(self, records: Sequence[Record], *, vouched: bool) -> None:
        failpoint("agent.before_inbox")
        understood: list[tuple[Record, Message]] = []
        for record in records:
            metrics.MESSAGES_CONSUMED.labels(self._spec.name, record.topic).inc()
            try:
                understood.append((record, _understand(record)))
            except VioxError as error:
                await self.bury(record, error)
        self._hear_closed_calls([message for _, message in understood if message.type == CALL_CLOSED])
        rest = [(record, message) for record, message in understood if message.type != CALL_CLOSED]
        items = await self._addressed_to_us(rest if vouched else await self._sent_by_whom_they_name(rest))
        if items:
            await self._store_items(items)

    def _hear_closed_calls(self, messages: Sequence[Message]) -> None:
        """Wake the threads that wait for these calls. What became of a call its row says, whoever sent the message."""
        for message in messages:
            thread = thread_id(self._spec.name, message.conversation_id or "")
            self._threads.closed(thread, message.id)

    async def _store_items(self, items: Sequence[Accepted]) -> None:
        began = spans.now()
        take = self._threads.has_room
        fresh, taken = await self._store.accept(items, self._owner, self._limits.lease_seconds, take=take)
        for claimed in taken:
            self._threads.work_on(claimed)
        await self._check_repeats(items, set(fresh))
        for item in items:
            if (item.message.source, item.message.id) in fresh:
                accepted(self._spec.name, item, began)
        failpoint("agent.after_inbox_before_offset")
        for thread in dict.fromkeys(fresh.values()):
            self._threads.wake(thread)

    async def _sent_by_whom_they_name(
        self, understood: Sequence[tuple[Record, Message]]
    ) -> Sequence[tuple[Record, Message]]:
        """Anybody may write tasks: one in the name of a service of ours counts when that service's outbox has it.

        A repeat may come after the outbox has forgotten it; its inbox row is compared with it later.
        """
        claims = [message for record, message in understood if _names_us(record, message)]
        if not claims:
            return understood
        sent = await self._store.sent_here(topics.tasks(self._spec.name), claims)
        unseen = [message for message in claims if not _is_among(message, sent)]
        held = await self._store.held(unseen) if unseen else {}
        kept: list[tuple[Record, Message]] = []
        for record, message in understood:
            if message in unseen and (message.source, message.id) not in held:
                await self._refuse_forged(record, message)
            else:
                kept.append((record, message))
        return kept

    async def _refuse_forged(self, record: Record, message: Message) -> None:
        """Set aside without its identity, which would be the mark that the sender's own message has arrived."""
        error = BadInput(
            "event.reserved",
            f"{sender(message.source)} did not send the task {message.id!r} that names {message.source!r}.",
            field="source",
            remedy="Name the system the task comes from, for instance /crm.",
        )
        await self.bury(record, error, identified=False)

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

    async def bury(self, record: Record, error: VioxError, *, identified: bool = True) -> None:
        """Set a record aside with its original bytes."""
        log.warning(
            "message.dead_lettered", topic=record.topic, partition=record.partition, offset=record.offset, error=error
        )
        metrics.DEAD_LETTERS.labels(self._spec.name, error.code).inc()
        message = _message_or_none(record)
        await self._store.dead_letter(record, error, attempts=1, message=message, run_id=None, identified=identified)

    async def _addressed_to_us(self, understood: Sequence[tuple[Record, Message]]) -> list[Accepted]:
        items: list[Accepted] = []
        addressed: list[tuple[Record, Message, EventType]] = []
        await self._record_wishes([message for _, message in understood])
        for record, message in understood:
            if message.type in (TASK_TYPE, FORKED):
                items.append(self._accepted(record, message, "task", message.conversation_id or message.id))
            elif not (entry := event_type(message.type)).heard_by(self._spec.name, message.extensions, message.data):
                continue
            elif entry.addressed:
                addressed.append((record, message, entry))
            elif self._spec.name in entry.owners:
                items.append(self._accepted(record, message, "event", self._conversation(message)))
        if addressed:
            items.extend(await self._owned(addressed))
        return items

    async def _record_wishes(self, messages: Sequence[Message]) -> None:
        """Before anything else is done with them, whoever they are for, and also of those that begin no run."""
        entries = [
            (message, event_type(message.type)) for message in messages if message.type not in (TASK_TYPE, FORKED)
        ]
        if found := consent.wishes((message, entry) for message, entry in entries if entry.addressed):
            async with self._store.transaction() as connection:
                await consent.record(connection, found)

    async def _owned(self, addressed: Sequence[tuple[Record, Message, EventType]]) -> list[Accepted]:
        wanted = [
            (m.source, m.id, entry.addressed or "", str(m.data.get(entry.address_field or "", "")), entry.owners[0])
            for _, m, entry in addressed
        ]
        routes = await self._store.routes(wanted)
        items = []
        for (record, message, _), (agent, conversation) in zip(addressed, routes, strict=True):
            if agent == self._spec.name:
                items.append(self._accepted(record, message, "event", conversation or self._conversation(message)))
        return items

    def _conversation(self, message: Message) -> str:
        return message.conversation_id or conversation_key(self._spec.conversation(message))

    def _accepted(self, record: Record, message: Message, kind: str, conversation: str) -> Accepted:
        agent = self._spec.name
        parent = message.extensions.get(PARENT_RUN)
        run = run_id(agent, message.source, message.id)
        given = message.traceparent
        return Accepted(
            record,
            message,
            kind,
            thread_id(agent, conversation),
            conversation,
            run,
            UUID(parent) if parent else None,
            given or spans.root(message.source, message.id, span_of_run(run)).traceparent,
        )


def _understand(record: Record) -> Message:
    """Parse and check one record against what its topic may carry. Raises BadInput naming what is wrong."""
    message = parse_record(record.value, record.headers)
    if parent := message.extensions.get(PARENT_RUN):
        _uuid(parent)
    if record.topic.startswith(topics.TOOL_RESULTS):
        _check_result(message)
        return message
    if not _names_us(record, message):
        refuse_reserved(message)
    if record.topic.startswith(topics.TASKS):
        if message.type == FORKED and is_ours(message.source):
            return message  # redriven: no outbox has it, so that one which is sent counts as forged
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


def _check_result(message: Message) -> None:
    _expect(message, CALL_CLOSED)
    if message.source != GATEWAY_SOURCE:
        raise BadInput(
            "event.reserved",
            f"{message.source!r} closes no tool calls.",
            field="source",
            remedy=f"Only {GATEWAY_SOURCE} does.",
        )
    try:
        closed = ToolCallClosed.model_validate(message.data)
        canonical = call_id(*parse_call_id(message.id))
    except (ValidationError, ValueError) as error:
        raise BadInput("event.invalid_data", f"not a closed call: {error}.", field="data") from error
    if not closed.call_id == message.id == canonical:
        raise BadInput(
            "event.invalid_data",
            f"data.call_id {closed.call_id!r} is not the message's id {message.id!r}.",
            field="data.call_id",
            remedy="Both are <run>.<step>.<index> of the call.",
        )


def _names_us(record: Record, message: Message) -> bool:
    """A task in the name of a service of ours: whether that sent it is looked up."""
    return record.topic.startswith(topics.TASKS) and is_ours(message.source)


def _is_among(message: Message, sent: Sequence[tuple[str, Message]]) -> bool:
    """Whether the service that the message names has sent this one."""
    return any(
        owner == sender(message.source)
        and (original.source, original.id) == (message.source, message.id)
        and original.says_the_same(message)
        and (original.conversation_id, original.extensions) == (message.conversation_id, message.extensions)
        for owner, original in sent
    )


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
