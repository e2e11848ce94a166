"""The Cedar schema of a deployment: one action for each tool, with what policies read of its calls. Pure.

principal   Agent::"closer"                       an enumerated entity: a typing mistake is an error
action      Action::"stripe_create_refund"        in Action::"effect:keyed", "vendor:stripe", "risk:moves_money",
                                              "granted:controller", "ruled:voice" (only its rules ask for it) …
resource    Call::"<call id>"
context     person     a person has agreed to exactly this call
            args       the call's arguments
            amount     {minor, currency}: what it moves, in the currency's smallest unit; absent where the call does not say
                       it. The currency is in lower case, and empty where the call does not say it
            counterparties  {count, items}: whom it reaches or pays, as far as the tool's document says where that stands
            own_party  it has counterparties, and the conversation is with each of them: they stand, as values by themselves,
                       in what it began with, or were reached before text from outside was in it, or with a person's yes;
                       or they are the business's own people (VIOX_PEOPLE)
            copied     an address in its arguments (a counterparty, a number, mail address, URL or IBAN) stands in text from
                       outside that the conversation has read, and is not that of whom the conversation is with
            by_rule    a rule of the role asks for it, and no model: the step that asks is a plan
            trigger    {type, ours}: what the run began with: the type of the event or task, and whether it is a task of the
                       business's own people and agents. Of the gateway's own calls: viox.gateway, ours
            recipient  {quiet, ours, wrote}: of whom a text message or call reaches: whether it is within the quiet hours of the
                       business profile where that person probably is; is one of the business's own people; has written or
                       called within the last 15 minutes (known within quiet hours only)
            hour, weekday  the business's local time; Monday is 1
            history    of the agent's earlier calls of the tool (HISTORY below)
            touched    {reads_untrusted, reads_private, moves_money, sends_outside, changes_state}: what the conversation, and
                       those that handed over to it, have done and read before this turn
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.reads import Path
from services.tool_gateway.policy.recipient import CHANNELS
from services.tool_gateway.policy.types import quoted, record_type
from shared.bus.topics import AGENTS, GATEWAY

RISKS = ("reads_private", "reads_untrusted", "changes_state", "sends_outside", "moves_money")
HISTORY: Mapping[str, str] = {
    "count_1h": "Long",  # calls that were made, wait, or may have taken effect; not this one
    "count_24h": "Long",
    "sum_24h": "Long",  # minor units, of those in this call's currency
    "other_currencies_24h": "Long",  # calls with amounts in other currencies
    "distinct_counterparties_24h": "Long",
    "first_time": "Bool",  # one of the counterparties was never reached by this tool; false where there is none
    "last_failed": "Bool",  # the last call that ended failed
}
FACTS: Mapping[str, str] = {
    "person": "Bool",
    "hour": "Long",
    "weekday": "Long",
    "amount": "{minor: Long, currency: String}",
    "counterparties": "{count: Long, items: Set<String>}",
    "own_party": "Bool",
    "copied": "Bool",
    "by_rule": "Bool",
    "trigger": "{type: String, ours: Bool}",
    "recipient": "{quiet: Bool, ours: Bool, wrote: Bool}",
    "history": "",  # what of HISTORY is read
    "touched": "{" + ", ".join(f"{risk}: Bool" for risk in RISKS) + "}",
}
OPTIONAL = ("amount",)


CALLERS = (*AGENTS, GATEWAY)
ALWAYS = (
    *(f"granted:{agent}" for agent in CALLERS),
    *(f"ruled:{agent}" for agent in AGENTS),
    *(f"risk:{risk}" for risk in RISKS),
    *(f"effect:{effect}" for effect in ("read", "idempotent", "keyed", "once")),
    *(f"channel:{channel}" for channel in CHANNELS),
)  # groups that may be named though no tool is in them


def groups_of(tool: Tool, granted_to: Iterable[str], ruled_by: Iterable[str] = ()) -> frozenset[str]:
    """The groups of actions that a tool is in. `ruled_by`: agents whose rules alone ask for it."""
    labels = {f"effect:{tool.effect}", f"vendor:{tool.vendor}", *(f"risk:{risk}" for risk in tool.risk)}
    labels |= {f"channel:{tool.address.channel}"} if tool.address else set()
    whose = {f"granted:{agent}" for agent in granted_to} | {f"ruled:{agent}" for agent in ruled_by}
    return frozenset(labels | whose)


def schema_text(
    tools: Iterable[Tool], groups: Mapping[str, frozenset[str]], reads: Mapping[str, frozenset[Path]]
) -> str:
    """The schema, in Cedar's own syntax. `groups` and `reads`: of each tool; the latter are paths below `context` that
    policies about it read.

    Raises NoType, naming the tool and the argument, for an argument that no policy can read.
    """
    used = {group for names in groups.values() for group in names}
    every = sorted({*ALWAYS, *used})
    facts = _declared(_facts(frozenset({()})))
    nothing = f"appliesTo {{principal: Agent, resource: Call, context: {{{facts}}}}};"
    lines = [
        "entity Agent enum [" + ", ".join(quoted(agent) for agent in CALLERS) + "];",
        "entity Call;",
        *(f"action {quoted(group)};" for group in every),
        # Cedar takes a policy about no action for a mistake. These groups may be empty.
        *(
            f"action {quoted(f'(none) {group}')} in [{quoted(group)}] {nothing}"
            for group in ALWAYS
            if group not in used
        ),
        *(_action(tool, groups[tool.name], reads.get(tool.name, frozenset())) for tool in tools),
    ]
    return "\n".join(lines)


def _action(tool: Tool, groups: frozenset[str], paths: frozenset[Path]) -> str:
    within = ", ".join(quoted(group) for group in sorted(groups))
    context = _declared(_facts(paths))
    if arguments := argument_paths(paths):
        made = record_type(tool.input_schema, arguments, tool.input_schema.get("$defs") or {})
        context += f"{', ' if context else ''}args: {made or '{}'}"
    return f"action {quoted(tool.name)} in [{within}] appliesTo {{principal: Agent, resource: Call, context: {{{context}}}}};"


def _declared(facts: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}{'?' if name in OPTIONAL else ''}: {kind}" for name, kind in facts)


def _facts(paths: frozenset[Path]) -> list[tuple[str, str]]:
    wanted, fields = wanted_facts(paths), history_fields(paths)
    history = "{" + ", ".join(f"{name}: {kind}" for name, kind in HISTORY.items() if name in fields) + "}"
    return [(name, kind or history) for name, kind in FACTS.items() if name in wanted]


def history_fields(paths: Iterable[Path]) -> frozenset[str]:
    """What is read of the history; all of it where a policy takes it, or the context, as a whole."""
    paths = set(paths)
    if paths & {(), ("history",)}:
        return frozenset(HISTORY)
    return frozenset(path[1] for path in paths if path[0] == "history" and path[1] in HISTORY)


def wanted_facts(paths: Iterable[Path]) -> frozenset[str]:
    """Facts that have to be known for a call; all of them when a policy takes the context as a whole."""
    paths = set(paths)
    return frozenset(FACTS) if () in paths else frozenset(path[0] for path in paths if path[0] in FACTS)


def argument_paths(paths: Iterable[Path]) -> list[Path]:
    return [path[1:] for path in paths if len(path) > 1 and path[0] == "args"]
