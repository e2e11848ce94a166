"""What the tables say of calls that are judged: only the facts that policies about their tools read.

Where history counts, calls of one agent and tool are judged one after the other: two of 900 in the same moment do not both
find that nothing was spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.figures import party, readable_figures
from services.tool_gateway.policy.schema import HISTORY
from shared.ids import CallId
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
FROM_TABLES = frozenset({"history", "touched", "own_party", "trigger"})
DEEPEST = 20


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
) -> dict[tuple[str, CallId], Known]:
    """(agent, call id) → what the tables say. Calls about which policies read nothing of it are left out.

    `at`: call id → the moment to look from; now without it.
    """
    known = [call for call in calls if call.tool in tools and policies.wants(call.tool) & FROM_TABLES]
    asked = [_asked(policies, tools[call.tool], call) | {"moment": (at or {}).get(call.call_id)} for call in known]
    if not asked:
        return {}
    rows = await connection.fetch(*SQL.bind("facts", calls=asked, batch=[one["call_id"] for one in asked]))
    of = {(one["agent"], one["call_id"]): one for one in asked}
    return {(row["agent"], row["call_id"]): _known(row, of[row["agent"], row["call_id"]]) for row in rows}


def _asked(policies: Policies, tool: Tool, call: Call) -> dict[str, Any]:
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
        "wants_history": "history" in wants,
        "wants_trigger": "trigger" in wants,
    }


def _known(row: Any, asked: dict[str, Any]) -> Known:
    history = {name: row[name] for name in HISTORY} if asked["wants_history"] else None
    touched = frozenset(row["touched"]) if asked["wants_touched"] else None
    return Known(history, touched, _own_party(row, asked) if asked["wants_party"] else None, row["trigger"])


def _own_party(row: Any, asked: dict[str, Any]) -> bool:
    """Whether the conversation is with everybody whom the call reaches: who stands, as a value by itself, in what it began
    with, or was chosen before a stranger could choose."""
    own = set(row["chosen"] or ()) | {party(text) for text in _texts(row["began_with"])}
    return bool(asked["counterparties"]) and own.issuperset(asked["counterparties"])


def _texts(node: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif depth < DEEPEST and isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _texts(item, depth + 1)
