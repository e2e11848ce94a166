"""A tool call and what is known of it at each place of its path. Data and small pure rules; every module of this room
imports from here, this one from none of them.

    Requested → Candidate → Decision → Ready → Outcome
    asked for   may it go?   it may      being sent   ended
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson

from services.tool_gateway.budgets.reserve import Reserved
from services.tool_gateway.call.payloads import Payload
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.mail import references
from services.tool_gateway.policy.context import NOTHING, Known
from services.tool_gateway.policy.figures import Money
from services.tool_gateway.traces import closed
from services.tool_gateway.wire.prepared import Prepared
from shared.bus import topics
from shared.bus.events import MAIL_CHANNEL
from shared.bus.messages import call_closed
from shared.bus.publisher import Publisher
from shared.ids import CallId, RunId, ThreadId
from shared.models.port import sha256_json
from shared.telemetry.trace import span_of_call, under

Error = dict[str, Any]
Checks = list[dict[str, Any]]
LEASE_MARGIN_SECONDS = 5.0
LONGEST_RATE_KEY = 200

Contact = tuple[str, str]
"""(channel, address as `consent.address_key` has it)."""


@dataclass(frozen=True)
class Requested:
    """A tool call as an agent asked for it. `agent` is who may write the topic, not what the message says.

    `live`: it came over HTTP, and its caller waits there. `created_at`: when it came.
    """

    call_id: CallId
    run_id: RunId
    step: int
    index: int
    agent: str
    thread_id: ThreadId
    conversation_id: str
    tool: str
    arguments: dict[str, Any]
    traceparent: str | None
    deadline: datetime | None = None
    live: bool = False
    created_at: datetime | None = None

    @cached_property
    def arguments_json(self) -> bytes:
        """The arguments as JSON, in the order in which they were given."""
        return orjson.dumps(self.arguments)

    @cached_property
    def digest(self) -> str:
        """The same for equal arguments in any order."""
        return sha256_json(self.arguments)


@dataclass(frozen=True, kw_only=True)
class CallRow(Requested):
    """A call as the table has it."""

    vendor: str
    effect: str
    state: str
    attempt: int
    look_ups: int
    lease_until: datetime | None
    unknown_since: datetime | None
    not_before: datetime | None = None
    rate_slot_reserved: bool = False
    approval_id: str | None = None
    intended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """So many people have agreed to a call, to what these policies asked about."""

    people: int
    rules: frozenset[str]

    def covers(self, people: int, rules: Collection[str]) -> bool:
        return people <= self.people and self.rules.issuperset(rules)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What is known about a call before it begins. `exists`: it is stored already; `same_call`: an identical one of the same
    turn is made, or will be; `agreed`: people have agreed to exactly it, under the policies of now, or to such calls by the
    approval `standing`; `decided`: a person refused an identical one of the conversation, or put other arguments in its
    place; `known`: what policies may know; `lifted`: the rules because of which people were asked, where they agreed."""

    duplicate_in_doubt: bool
    run_over: bool
    paused: bool
    own_run: bool = True
    exists: bool = False
    opted_out: frozenset[Contact] = frozenset()  # of the addresses that the calls judged together name
    same_call: CallId | None = None
    agreed: Agreement | None = None
    standing: str | None = None
    decided: bool = False
    known: Known = NOTHING
    paused_vendors: frozenset[str] = frozenset()
    lifted: frozenset[str] = frozenset()

    def holds_up(self, tool: Tool | None) -> bool:
        """Whether an operator stopped the agent, the tool, its vendor, or everything."""
        return self.paused or (tool is not None and tool.vendor in self.paused_vendors)


@dataclass(frozen=True, slots=True)
class Stored:
    """Whose call an identity stands for, and who is executing it."""

    agent: str
    tool: str
    digest: str
    state: str
    attempt: int
    owner: str | None


@dataclass(frozen=True, slots=True)
class Intent:
    """A request as the ledger keeps it, with names of secrets in the place of secrets.

    `in_doubt`: it, or a repeat of it, may have taken effect, and no look-up has shown that it did not.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    at: datetime
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call to decide on. `attempt` is the number that its next attempt has.

    `claimed`: it waited, and has a lease and a place at its vendor now. `rate_slot`: when it may go at its rate, where that
    was reserved before. `first`: what was sent for it the first time. `keyed`: a repeat has to be sent with the same bytes.
    `unreadable`: its sensitive arguments were sealed with a key that is not here.
    """

    call: Requested
    attempt: int = 1
    claimed: bool = False
    rate_slot: datetime | None = None
    first: Intent | None = None
    keyed: bool = False
    unreadable: bool = False

    @property
    def in_doubt(self) -> bool:
        """An earlier attempt may have taken effect."""
        return self.first is not None and self.first.in_doubt


@dataclass(frozen=True, slots=True)
class Asking:
    """People have to agree first: so many, because of these policies. A `question` has to be answered instead, by anybody of
    the `audience` where it names some; `seconds`: so long it waits."""

    people: int
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    policy_version: str
    question: bool = False
    audience: tuple[str, ...] | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a candidate: sent now (`prepared`), refused (`error`), or it waits: for people (`asking`), until
    `not_before`, or until its vendor has a place and no pause holds it up. `standing`: the approval given before by which it
    goes; `reserved`: what it has of budgets. `tool` is None for a tool that does not exist. `shown` is the request as it may
    be kept."""

    candidate: Candidate
    checks: Checks
    tool: Tool | None
    prepared: Prepared | None = None
    error: Error | None = None
    not_before: datetime | None = None
    asking: Asking | None = None
    standing: str | None = None
    shown: Prepared | None = None
    reserved: Reserved | None = None

    @property
    def is_sensitive(self) -> bool:
        """Something of the arguments may not be kept as it is."""
        return self.tool is not None and self.tool.redact_arguments.any_in(self.call.arguments)

    @property
    def shown_arguments(self) -> Any:
        """The arguments as they may be kept and shown to anybody."""
        hidden = self.tool.redact_arguments if self.tool else None
        return hidden.redacted(self.call.arguments)[0] if hidden else self.call.arguments

    @property
    def call(self) -> Requested:
        return self.candidate.call

    @property
    def state(self) -> str:
        if self.asking:
            return "awaiting_approval"
        return "executing" if self.prepared else "denied" if self.error else "requested"

    @property
    def lease_seconds(self) -> float:
        assert self.tool  # noqa: S101  # only what is sent has a lease
        return lease_seconds(self.tool)

    @property
    def contacts(self) -> tuple[str, list[str]] | None:
        """(channel, keys of the address book) with which the call opens a conversation."""
        if self.error or self.asking or not self.tool or not self.tool.address or self.call.agent == topics.GATEWAY:
            return None
        channel, partners = self.tool.address.channel, self.tool.address.partners(self.call.arguments)
        if channel == MAIL_CHANNEL:
            partners = [*partners, *(references.reply_key(self.call.call_id, one) for one in partners)]
        return (channel, partners) if partners else None

    def ready(self, started: float) -> Ready:
        """The call to be sent, with the lease that began at `started`."""
        assert self.tool is not None  # noqa: S101  # only what is sent is asked for this
        assert self.prepared is not None  # noqa: S101  # as above
        candidate, ends = self.candidate, started + self.lease_seconds
        in_doubt = candidate.keyed and candidate.in_doubt
        return Ready(candidate.call, self.tool, self.prepared, candidate.attempt, ends, started, in_doubt)


@dataclass(frozen=True, slots=True)
class Ready:
    """A call whose intent is committed and whose lease is ours until `lease_ends` (monotonic clock).

    `in_doubt`: an earlier attempt may have taken effect.
    """

    call: Requested
    tool: Tool
    prepared: Prepared
    attempt: int
    lease_ends: float
    requested_at: float
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `state` is succeeded, failed, unknown, or requested when it will be tried again.

    `headers` and `body` are the vendor's answer, `detail` is what the ledger keeps besides. `payload` is what `result` only
    refers to. `deferred`: the call is made, and its end is still to come. `moved`: what the answer says of the money.
    """

    call_id: CallId
    attempt: int
    state: str
    http_status: int | None = None
    latency_ms: float | None = None
    result: Any = None
    error: Error | None = None
    not_before: datetime | None = None
    headers: list[list[str]] | None = None
    body: bytes | None = None
    detail: dict[str, Any] | None = None
    payload: Payload | None = None
    deferred: bool = False
    moved: Money | None = None


def lease_seconds(tool: Tool) -> float:
    """Longer than the request may take, so that a live executor never overruns it."""
    return tool.timeout_seconds + LEASE_MARGIN_SECONDS


def rate_key(rate: Rate, arguments: dict[str, Any]) -> str:
    """`airtable:{baseId}` filled from the arguments."""
    key = rate.key
    for name, value in arguments.items() if "{" in key else ():
        key = key.replace("{" + name + "}", str(value)[:LONGEST_RATE_KEY])
    return key[:LONGEST_RATE_KEY]


def tell_closed(publisher: Publisher, call: Requested, state: str, result: Any, error: Error | None) -> None:
    """Trace the end of a call, which is committed, and wake its agent. If the message gets lost, the agent looks: what counts
    is the call's row.

    Nobody waits for calls of the gateway itself. Nor does anybody wait on the bus for a live call: its row wakes who waits, in
    whichever replica that is.
    """
    closed(call, state, result, error)
    if call.live or call.agent == topics.GATEWAY:
        return
    now, trace = datetime.now(UTC), under(call.traceparent, span_of_call(call.call_id))
    message = call_closed(call.call_id, call.run_id, state, result, error, call.conversation_id, now, trace)
    publisher.publish(topics.tool_results(call.agent), message)
