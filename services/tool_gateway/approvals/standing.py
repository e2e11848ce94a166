"""Standing approvals: a person has agreed to calls of one shape, until so many were made or a date has come.

Of one shape are calls of one agent and tool that reach or pay the same, in the same currency, and no more than was agreed to;
where a tool's document says neither, calls with exactly the same arguments. A standing approval stands in for a person only:
a policy that no person lifts still forbids, and one that was not among those that asked then asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.figures import readable_figures
from shared.operations.decisions import Shape
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("approvals.sql"))


class Call(Protocol):
    """A call as far as its shape goes."""

    @property
    def call_id(self) -> Any: ...
    @property
    def agent(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...
    @property
    def digest(self) -> str: ...


def shape_of(tool: Tool, arguments: dict[str, Any], digest: str) -> Shape:
    """The shape of a call with these arguments."""
    figures = readable_figures(tool, arguments)
    said = bool(figures.amount or figures.counterparties)
    money = figures.amount
    return Shape(
        figures.counterparties,
        money.currency if money else None,
        money.minor if money else None,
        None if said else digest,
    )


async def use(connection: Any, call: Call, tool: Tool, rules: Sequence[str], version: str) -> str | None:
    """Use up one call of a standing approval that covers this one: its id, or None. Needs a transaction."""
    shape = shape_of(tool, call.arguments, call.digest)
    found: str | None = await connection.fetchval(
        *SQL.bind(
            "use_standing",
            agent=call.agent,
            tool=call.tool,
            version=version,
            rules=list(rules),
            counterparties=list(shape.counterparties),
            currency=shape.currency,
            amount=shape.amount,
            sha256=call.digest,
        )
    )
    return found


async def note(connection: Any, call: str, standing: str) -> None:
    """Keep by which one a call goes that had waited."""
    await connection.execute(*SQL.bind("note_standing", call=call, standing=standing))
