"""May this call be made? Checks in order, each recorded with its result. The first that fails ends the judgement, and
the call is denied with an error that a model can act on. The last is what the policies say: yes, no, or not without a person.

Pure but for the clock: what it needs to know is passed in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.tool_gateway.approvals.question import REASON
from services.tool_gateway.budgets.reserve import Reserved
from services.tool_gateway.call.call import Asking, Checks, Error, Preconditions, Requested
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.policy.engine import Policies, Ruling
from shared.bus.consent import address_key
from shared.bus.events import MAIL_CHANNEL
from shared.bus.topics import GATEWAY
from shared.ids import CallId

Key = tuple[str, CallId]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checks that ran, the tool where it exists, the error when a check failed; who has to agree when one is left open,
    or by which standing approval nobody has to."""

    checks: Checks
    tool: Tool | None
    error: Error | None
    asking: Asking | None = None
    standing: str | None = None
    reserved: Reserved | None = None

    def over_budget(self, reasons: Mapping[str, str], policies: Policies) -> Verdict:
        """The same, with people to be asked about these budgets (rule → reason), too."""
        before = self.asking or Asking(1, (), (), policies.version)
        rules, told = (*before.rules, *reasons), (*before.reasons, *reasons.values())
        return replace(self, asking=replace(before, rules=rules, reasons=told))


def judge(
    call: Requested, preconditions: Preconditions, catalogue: Catalogue, policies: Policies, at: datetime
) -> Verdict:
    """Judge one call by catalogue, grants, schema, what the tables say, and policies. `at`: the business's local time."""
    checks: Checks = []
    tool = catalogue.tools.get(call.tool)
    for name, error in _checks(call, preconditions, catalogue, tool):
        checks.append({"check": name, "passed": error is None})
        if error is not None:
            return Verdict(checks, tool, error)
    assert tool is not None  # noqa: S101  # a tool that is not known fails the first check
    return _ruled(call, preconditions, tool, policies, at, checks)


def _ruled(
    call: Requested, preconditions: Preconditions, tool: Tool, policies: Policies, at: datetime, checks: Checks
) -> Verdict:
    """What the policies say. Everything that decided is on record, and what only watches as well."""
    ruling, agreed = policies.judge(call.agent, call.tool, call.call_id, call.arguments, preconditions.known, at), None
    if ruling.people and call.agent == GATEWAY:
        ruling = replace(ruling, allowed=False, people=0)  # nobody would hear that people have to be told
    if ruling.people and preconditions.agreed and preconditions.agreed.covers(ruling.people, ruling.rules):
        agreed = {"standing": preconditions.standing} if preconditions.standing else {"agreed": True}
    check = {"check": "policy", "passed": ruling.allowed and (not ruling.people or agreed is not None)}
    noted = {"people": ruling.people, "watched": list(ruling.watched), "errors": list(ruling.errors)}
    told = {"rules": list(ruling.rules), "policies": policies.version} | {k: v for k, v in noted.items() if v}
    checks.append(check | told | (agreed or {}))
    if not ruling.allowed:
        return Verdict(checks, tool, _denied_by(ruling, call, policies, preconditions.known.quiet_until))
    if tool.question:
        reasons = (REASON, *map(policies.reason, ruling.rules if ruling.people else ()))
        return Verdict(checks, tool, None, Asking(1, ruling.rules, reasons, policies.version, question=True))
    if ruling.people and agreed is None:
        reasons = tuple(policies.reason(rule) for rule in ruling.rules) or ("no policy permits it without a person",)
        return Verdict(checks, tool, None, Asking(ruling.people, ruling.rules, reasons, policies.version))
    return Verdict(checks, tool, None)


def _denied_by(ruling: Ruling, call: Requested, policies: Policies, quiet_until: datetime | None) -> Error:
    remedy, until = "Do without it, and say so.", None
    if ruling.errors:
        message = "the policies could not be evaluated for this call, so it is refused."
    elif ruling.rules:
        message = f"a policy forbids it: {'; '.join(policies.reason(rule) for rule in ruling.rules)}."
    else:
        message = f"no policy permits {call.agent} to call {call.tool}."
    if quiet_until and any("recipient" in policies.read_by(rule) for rule in ruling.rules):
        until = quiet_until.isoformat(timespec="seconds")
        remedy = f"They are to be left alone until {until}: do it then (timer_set)."
    return (
        _error("policy.denied", message, remedy) | {"rules": list(ruling.rules)} | ({"until": until} if until else {})
    )


def _checks(
    call: Requested, preconditions: Preconditions, catalogue: Catalogue, tool: Tool | None
) -> Iterator[tuple[str, Error | None]]:
    """(name, error or None), in order; later ones are not evaluated once one failed."""
    yield "tool.known", None if tool else _unknown_tool(call, catalogue)
    assert tool is not None  # noqa: S101  # the check above ended the judgement otherwise
    yield (
        "tool.granted",
        None
        if catalogue.may_ask(call.agent, call.tool)
        else _error("tool.not_granted", f"{call.tool} is not granted to {call.agent}.", "Do without it, and say so."),
    )
    yield (
        "run.open",
        _error("run.over", "the run was cancelled or blocked.", "Stop.") if preconditions.run_over else None,
    )
    yield (
        "deadline.open",
        _error(
            "call.deadline", f"its deadline, {call.deadline.isoformat()}, is over.", "Ask again if it still matters."
        )
        if call.deadline and call.deadline <= datetime.now(UTC)
        else None,
    )
    yield "arguments.size", _too_large(call, tool)
    yield "arguments.schema", tool.problem_with(call.arguments)
    yield "recipient.consents", _opted_out(call, tool, preconditions)
    yield (
        "duplicate.in_doubt",
        _error(
            "tool.duplicate_in_doubt",
            "an identical call of this conversation has an unknown outcome; it may have taken effect.",
            "Wait until it is settled; do not repeat it.",
        )
        if preconditions.duplicate_in_doubt
        else None,
    )
    yield "turn.once", _same_call(tool, preconditions)
    yield "approval.not_refused", _decided(preconditions)


def with_same_calls(calls: Iterable[Requested], standing: Mapping[Key, Preconditions]) -> dict[Key, Preconditions]:
    """The preconditions of calls that arrive together, each identical one of a turn after the first in order marked."""
    marked, first = dict(standing), dict[tuple[object, ...], CallId]()
    for call in sorted(calls, key=lambda one: one.index):
        same = first.setdefault((call.agent, call.run_id, call.step, call.tool, call.digest), call.call_id)
        if same != call.call_id:
            key = (call.agent, call.call_id)
            marked[key] = replace(marked[key], same_call=same)
    return marked


def _same_call(tool: Tool, preconditions: Preconditions) -> Error | None:
    """A model sometimes writes the same call twice into one turn. Two turns with it are two effects."""
    first = preconditions.same_call
    if first is None or not (tool.effect in ("once", "keyed") or tool.deferred):
        return None
    return _error(
        "tool.same_call",
        f"the same call stands in this turn already, as {first}: it is made once, and its result is that of both.",
        "Read the result of the other one; do not call again.",
    )


def _decided(preconditions: Preconditions) -> Error | None:
    if not preconditions.decided:
        return None
    return _error(
        "approval.final",
        "a person refused this very call in this conversation, or changed it before it ran.",
        "Do not ask again; go on without it, and say so.",
    )


def _opted_out(call: Requested, tool: Tool, preconditions: Preconditions) -> Error | None:
    # What people of the business have to decide reaches them, whoever asked for no mails in their name.
    if not tool.address or (call.agent == GATEWAY and tool.address.channel == MAIL_CHANNEL):
        return None
    channel, reached = tool.address.channel, tool.address.everybody(call.arguments)
    address = next((one for one in reached if (channel, address_key(one)) in preconditions.opted_out), None)
    if address is None:
        return None
    return _error(
        "recipient.opted_out",
        f"{address} asked not to be written to.",
        "Do not write to them; go on without it, and say so.",
    )


def _unknown_tool(call: Requested, catalogue: Catalogue) -> Error:
    usable = [name for name in catalogue.tools if catalogue.granted(call.agent, name)]
    near = difflib.get_close_matches(call.tool, usable, n=3)
    remedy = f"Did you mean {', '.join(near)}?" if near else "Use only the tools you were given."
    return _error("tool.not_found", f"there is no tool {call.tool!r}.", remedy)


def _too_large(call: Requested, tool: Tool) -> Error | None:
    size = len(call.arguments_json)
    if size <= tool.max_argument_bytes:
        return None
    return _error(
        "tool.arguments_too_large",
        f"{size:,} bytes of arguments; {tool.max_argument_bytes:,} is the limit.",
        "Send less.",
    )


def _error(code: str, message: str, remedy: str) -> Error:
    return {"code": code, "message": message, "remedy": remedy}
