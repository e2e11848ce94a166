"""Options that commands share, and how they run what is asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.errors import BadInput

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Output = Annotated[Path | None, typer.Option("--output", help="Write the bytes to this file.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows a page.")]
Cursor = Annotated[str | None, typer.Option(help="`next` of the previous page.")]
Since = Annotated[str | None, typer.Option(help="RFC 3339 time, or a span such as 24h.")]
AgentOption = Annotated[str | None, typer.Option("--agent", help="Only this agent.")]
By = Annotated[str, typer.Option("--by", help="Who says so, for the audit.")]
Person = Annotated[str | None, typer.Option("--by", envvar="VIOX_PERSON", help="Who decides: a name of VIOX_PEOPLE.")]
ModelsOption = Annotated[
    str | None,
    typer.Option("--models", help="offline, wire or real; without it real when there is a key, else offline."),
]
ModelFaults = Annotated[
    Path | None, typer.Option("--model-faults", help="With --models wire: what goes wrong, a JSON file.")
]
ApprovalId = Annotated[
    str, typer.Argument(metavar="ID", help="Of the approval or its call, or so much of its beginning.")
]


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def agent_name(given: str | None) -> str | None:
    """Hyphens or underscores. Raises BadInput naming the known agents."""
    from shared.bus import topics

    if given is None:
        return None
    name = topics.canonical_agent(given)
    if name is None:
        raise BadInput(
            "agent.unknown", f"{given!r} is not an agent.", field="agent", remedy=f"One of {', '.join(topics.AGENTS)}."
        )
    return name
