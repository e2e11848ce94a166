"""The Cedar schema of a deployment: one action for each tool, with what policies read of its calls. Pure.

principal   Agent::"closer"                       an enumerated entity: a typing mistake is an error
action      Action::"stripe_create_refund"        in Action::"effect:once", "vendor:stripe", "risk:moves_money" …
resource    Call::"<call id>"
context     person     a person has agreed to exactly this call
            args       the call's arguments
            amount     {minor, currency}: what it moves, in the currency's smallest unit, where the tool says so
            counterparty   whom it is about, where the tool says so
            hour, weekday  the business's local time; Monday is 1
            history    {count_1h, count_24h, sum_24h, distinct_counterparties_24h, first_time, last_failed}
            touched    {reads_untrusted, reads_private, moves_money, sends_outside}: what the run has done so far
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.reads import Path
from services.tool_gateway.policy.types import quoted, record_type
from shared.bus.topics import AGENTS

RISKS = ("reads_private", "reads_untrusted", "changes_state", "sends_outside", "moves_money")
FACTS: Mapping[str, str] = {
    "person": "Bool",
    "hour": "Long",
    "weekday": "Long",
    "counterparty": "String",
    "amount": "{minor: Long, currency: String}",
    "history": (
        "{count_1h: Long, count_24h: Long, sum_24h: Long, distinct_counterparties_24h: Long, first_time: Bool, "
        "last_failed: Bool}"
    ),
    "touched": "{" + ", ".join(f"{risk}: Bool" for risk in RISKS) + "}",
}
OPTIONAL = ("counterparty", "amount")  # of tools that do not say where they are


def groups_of(tool: Tool) -> frozenset[str]:
    """The groups of actions that a tool is in."""
    return frozenset({f"effect:{tool.effect}", f"vendor:{tool.vendor}", *(f"risk:{risk}" for risk in tool.risk)})


def schema_text(tools: Iterable[Tool], reads: Mapping[str, frozenset[Path]]) -> str:
    """The schema, in Cedar's own syntax. `reads`: tool → paths below `context` that policies about it read.

    Raises NoType, naming the tool and the argument, for an argument that no policy can read.
    """
    tools = list(tools)
    groups = sorted({group for tool in tools for group in groups_of(tool)})
    lines = [
        "entity Agent enum [" + ", ".join(quoted(agent) for agent in AGENTS) + "];",
        "entity Call;",
        *(f"action {quoted(group)};" for group in groups),
        *(_action(tool, reads.get(tool.name, frozenset())) for tool in tools),
    ]
    return "\n".join(lines)


def _action(tool: Tool, paths: frozenset[Path]) -> str:
    within = ", ".join(quoted(group) for group in sorted(groups_of(tool)))
    context = ", ".join(f"{name}{'?' if name in OPTIONAL else ''}: {kind}" for name, kind in _facts(paths))
    if arguments := argument_paths(paths):
        made = record_type(tool.input_schema, arguments, tool.input_schema.get("$defs") or {})
        context += f"{', ' if context else ''}args: {made or '{}'}"
    return f"action {quoted(tool.name)} in [{within}] appliesTo {{principal: Agent, resource: Call, context: {{{context}}}}};"


def _facts(paths: frozenset[Path]) -> list[tuple[str, str]]:
    wanted = wanted_facts(paths)
    return [(name, kind) for name, kind in FACTS.items() if name in wanted]


def wanted_facts(paths: Iterable[Path]) -> frozenset[str]:
    """Facts that have to be known for a call; all of them when a policy takes the context as a whole."""
    paths = set(paths)
    return frozenset(FACTS) if () in paths else frozenset(path[0] for path in paths if path[0] in FACTS)


def argument_paths(paths: Iterable[Path]) -> list[Path]:
    return [path[1:] for path in paths if len(path) > 1 and path[0] == "args"]
