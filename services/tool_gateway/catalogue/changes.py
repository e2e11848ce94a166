"""What another version of a document changes for those who use its tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from services.tool_gateway.catalogue.tools import Tool

# What an integrator calls the parts of a tool; the rest is told under its own name.
CALLED = {
    "input_schema": "arguments",
    "parameters": "arguments",
    "body": "arguments",
    "model_schema": "arguments",
    "base_url": "server",
    "base_path": "server",
    "base_url_setting": "server",
    "path": "operation",
    "query": "operation",
    "method": "operation",
}
UNTOLD = ("name", "vendor", "validator", "notes")


@dataclass(frozen=True, slots=True)
class Changes:
    """Tools by name; of changed ones what is different."""

    new: list[str]
    changed: dict[str, list[str]]
    gone: list[str]
    same: int


def between(before: Sequence[Tool], after: Sequence[Tool]) -> Changes:
    """From one version to the next."""
    old, now = ({tool.name: tool for tool in tools} for tools in (before, after))
    changed = {
        name: found
        for name, tool in now.items()
        if name in old and (found := list(dict.fromkeys(_different(old[name], tool))))
    }
    new = sorted(now.keys() - old.keys())
    return Changes(new, changed, sorted(old.keys() - now.keys()), len(now) - len(new) - len(changed))


def _different(old: Tool, now: Tool) -> Iterator[str]:
    for field in fields(Tool):
        if field.name not in UNTOLD and getattr(old, field.name) != getattr(now, field.name):
            yield CALLED.get(field.name, field.name)
