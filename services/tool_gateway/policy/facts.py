"""What the tables say of calls that are judged: only the facts that policies about their tools read.

Where history counts, calls of one agent and tool are judged one after the other: two of 900 in the same moment do not both
find that nothing was spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.copied import address, addresses_in, any_in, texts_in
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.figures import Figures, party, readable_figures
from services.tool_gateway.policy.recipient import Recipient, recipient_of
from shared.bus.events import MAIL_TYPE
from shared.ids import CallId
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
MOST_TEXTS = 50  # from outside that are compared; in more of them an address may stand
FROM_TABLES = frozenset({"history", "touched", "own_party", "copied", "trigger", "recipient", "by_rule"})
# What tells that a person wrote or called, and where it says who.
HEARD_FROM = {"com.twilio.message.received": "From", "com.twilio.call.completed": "From"}
HEARD_SECONDS = 900.0
# Of events that name others than whom the conversation is with: where they say who that is.
PARTY_IN = {MAIL_TYPE: "sender"}


class Call(Protocol):
    """A call as far as facts are looked up for it."""

    @property
    def call_id(self) -> CallId: ...
    @property
    def agent(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def run_id(self) -> Any: ...
    @property
    def step(self) -> int: ...
    @property
    def thread_id(self) -> Any: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


def has_history(policies: Policies, call: Call) -> bool:
    """Whether the call has to be judged alone among those of its agent and tool."""
    return "history" in policies.wants(call.tool)


async def lock(connection: Any, policies: Policies, calls: Sequence[Call]) -> None:
    """Until the transaction ends nobody else judges calls with the history of these."""
    names = sorted({f"{call.agent}\n{call.tool}" for call in calls if has_history(policies, call)})
    if names:
        await connection.execute(*SQL.bind("lock", names=names))


async def known_of(
    connection: Any,
    policies: Policies,
    tools: Mapping[str, Tool],
    calls: Sequence[Call],
    at: Mapping[CallId, datetime] | None = None,
    now: datetime | None = None,
) -> dict[tuple[str, CallId], Known]:
    """(agent, call id) → what the tables say. Calls about which policies read nothing of it are left out.

    `at`: call id → the moment to look from; now without it, which is `now` by the business's clock.
    """
    known = [call for call in calls if call.tool in tools and policies.wants(call.tool) & FROM_TABLES]
    if not known:
        return {}
    moments, now = at or {}, now or datetime.now(UTC)
    reached = {
        call.call_id: recipient_of(
            tools[call.tool], call.arguments, policies.business, policies.insiders, moments.get(call.call_id, now)
        )
        for call in known
        if "recipient" in policies.wants(call.tool)
    }
    asked = [
        _asked(policies, tools[call.tool], call, reached.get(call.call_id)) | {"moment": moments.get(call.call_id)}
        for call in known
    ]
    untrusted = [name for name, tool in tools.items() if "reads_untrusted" in tool.risk]
    rows = await connection.fetch(
        *SQL.bind(
            "facts",
            calls=asked,
            untrusted=untrusted,
            batch=[one["call_id"] for one in asked],
            heard_from=HEARD_FROM,
            party_in=PARTY_IN,
            heard_seconds=HEARD_SECONDS,
        )
    )
    of = {(call.agent, call.call_id): call for call in known}
    return {
        key: _known(row, of[key], policies, reached.get(row["call_id"]))
        for row in rows
        if (key := (row["agent"], row["call_id"]))
    }


def _asked(policies: Policies, tool: Tool, call: Call, reached: Recipient | None) -> dict[str, Any]:
    wants, figures = policies.wants(call.tool), readable_figures(tool, call.arguments)
    return {
        "call_id": call.call_id,
        "agent": call.agent,
        "tool": call.tool,
        "run_id": call.run_id,
        "step": call.step,
        "thread_id": call.thread_id,
        "conversation_id": call.conversation_id,
        "currency": figures.amount.currency if figures.amount else None,
        "counterparties": figures.counterparties,
        "wants_touched": "touched" in wants,
        "wants_party": "own_party" in wants,
        "history": sorted(policies.history(call.tool)),
        "wants_trigger": "trigger" in wants,
        "wants_copied": "copied" in wants,
        "wants_by_rule": "by_rule" in wants,
        "recipient": reached.number if reached and reached.quiet_until else None,
    }


def _known(row: Any, call: Call, policies: Policies, reached: Recipient | None) -> Known:
    wants = policies.wants(call.tool)
    figures = readable_figures(policies.tool(call.tool), call.arguments)
    history = {name: row[name] for name in policies.history(call.tool)} if "history" in wants else None
    touched = frozenset(row["touched"]) if "touched" in wants else None
    own = _own(row, policies) if wants & {"own_party", "copied"} else frozenset()
    is_own = bool(figures.counterparties) and own.issuperset(figures.counterparties) if "own_party" in wants else None
    copied = _copied(row, policies.tool(call.tool), call, figures, own) if "copied" in wants else None
    until = reached.quiet_until if reached else None
    told = {"quiet": until is not None, "ours": bool(reached and reached.ours), "wrote": bool(row["wrote"])}
    recipient = told if "recipient" in wants else None
    return Known(history, touched, is_own, row["trigger"], copied, recipient, until, row["by_rule"])


def _own(row: Any, policies: Policies) -> frozenset[str]:
    """Whom the conversation is with: who stands, as a value by itself, in what it began with, or was chosen before a stranger
    could choose; and the business's own people."""
    began = {party(text) for text in texts_in(row["began_with"])}
    return frozenset({*(row["chosen"] or ()), *began, *policies.insiders})


def _copied(row: Any, tool: Tool, call: Call, figures: Figures, own: frozenset[str]) -> bool:
    """Whether an address in the arguments stands in text from outside, and is not that of whom the conversation is with."""
    arguments = {name: value for name, value in call.arguments.items() if name not in tool.references}
    found = addresses_in(arguments, figures.counterparties) - set(map(address, own))
    outside = row["outside"] or ()
    return bool(found) and (len(outside) > MOST_TEXTS or any_in(found, outside))
