"""What a policy may know of a call. Pure: what the tables say is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.reads import Path
from services.tool_gateway.policy.schema import RISKS, argument_paths, wanted_facts
from services.tool_gateway.policy.types import projected

OWN = "/viox/"  # sources of events that come from the business's own people and agents


@dataclass(frozen=True, slots=True)
class Known:
    """What the tables say. `history` as the schema has it; `called`: tools that the run has called; `source`: of its trigger."""

    history: Mapping[str, Any] | None = None
    called: frozenset[str] = frozenset()
    source: str = ""


def context_of(
    tool: Tool,
    arguments: Mapping[str, Any],
    paths: Iterable[Path],
    known: Known,
    at: datetime,
    risks: Mapping[str, tuple[str, ...]],
    *,
    person: bool,
) -> dict[str, Any]:
    """The context of a decision: what policies about the tool read, and nothing else.

    `at` is the business's local time, `risks` are the labels of each tool. Raises NoType for an argument that has no type
    in Cedar, which is a reason to deny.
    """
    paths = frozenset(paths)
    wanted = wanted_facts(paths)
    made: dict[str, Any] = {}
    if "person" in wanted:
        made["person"] = person
    if "hour" in wanted:
        made["hour"] = at.hour
    if "weekday" in wanted:
        made["weekday"] = at.isoweekday()
    if "history" in wanted and known.history is not None:
        made["history"] = dict(known.history)
    if "touched" in wanted:
        made["touched"] = touched(known, risks)
    if about := argument_paths(paths):
        made["args"] = projected(arguments, tool.input_schema, about, tool.input_schema.get("$defs") or {})
    return made


def touched(known: Known, risks: Mapping[str, tuple[str, ...]]) -> dict[str, bool]:
    """What the run has done so far, by its calls' labels. What came from outside has been read."""
    labels = {label for name in known.called for label in risks.get(name, RISKS)}
    found = {risk: risk in labels for risk in RISKS}
    return found | {"reads_untrusted": found["reads_untrusted"] or not known.source.startswith(OWN)}
