"""Which calls are sent now: judged, at their rate's turn, with a place at their vendor and a request that can be made.

New calls (`intake`) and calls that waited (`resume`) come through here alike. `decide` is the rule, without effects;
`Admission.decide` is where rate slots are reserved and places are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tool_gateway.answers.marks import REDACTED
from services.tool_gateway.approvals.question import audience, seconds
from services.tool_gateway.budgets.reserve import reserve
from services.tool_gateway.budgets.wants import concerns, wanted
from services.tool_gateway.call.call import Agreement, Candidate, Decision, Preconditions, Requested, rate_key
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.judge import Verdict, judge
from services.tool_gateway.call.outcome import MAX_ATTEMPTS
from services.tool_gateway.call.sealed import UNREADABLE, Seals
from services.tool_gateway.call.store import RATE_SLOT_VALID_SECONDS, GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Rate, Tool
from services.tool_gateway.policy.facts import has_history, lock
from services.tool_gateway.policy.rulebook import Rulebook
from services.tool_gateway.wire.credentials import Secrets, again
from services.tool_gateway.wire.encode import prepare, shown
from services.tool_gateway.wire.prepared import Prepared
from shared.batches import fairly
from shared.budgets import NO_BUDGETS, RULE, Budgets
from shared.business import Business
from shared.clock import Clock
from shared.errors import VioxError
from shared.ids import CallId
from shared.people import People

BUDGET_CHECK = "budget"
Standing = Mapping[tuple[str, CallId], Preconditions]

FORGOTTEN = {
    "code": "tool.unknown_outcome",
    "message": "no answer came, and the vendor may have forgotten the idempotency key by now.",
}
SHORTEST = 4
ASKED_TOO_LATE = {
    "code": "tool.unknown_outcome",
    "message": "people would have to agree to it by now, and an earlier attempt may have taken effect.",
}
EXHAUSTED = {"code": "tool.attempts_exhausted", "message": "given up after too many attempts."}


class Admission:
    """Decides on calls, and takes a place at the vendor for each that is sent. `business` says what time it is there."""

    def __init__(
        self,
        catalogue: Catalogue,
        rulebook: Rulebook,
        secrets: Secrets,
        store: GatewayStore,
        places: InFlightLimiter,
        business: Business,
        approval_seconds: float = 72 * 3600.0,
        per_agent: tuple[float, int] | None = None,
        budgets: Budgets = NO_BUDGETS,
        clock: Clock | None = None,
        people: People | None = None,
    ) -> None:
        """`per_agent` are calls a second and the burst that each agent may make of all tools together."""
        self.catalogue = catalogue
        self.rulebook = rulebook
        self._per_agent = per_agent
        self.places = places
        self._secrets = secrets
        self._store = store
        self._business = business
        self.approval_seconds = approval_seconds
        self._budgets = budgets
        self._clock = clock or Clock()
        self._people = people or People()

    async def decide(
        self, candidates: Sequence[Candidate], standing: Standing, connection: Any = None
    ) -> list[Decision]:
        """One decision for each candidate. Places of those that are not sent after all are the caller's to give back.

        Calls whose history or budgets count are judged under locks: give a connection with a transaction that stores them, too.
        """
        now = self._clock.now()
        policies, local = self.rulebook.policies, self._business.local(now)
        standing = await self._with_facts(candidates, standing, now, connection)
        judged = [
            (one, judge(one.call, _of(one, standing), self.catalogue, policies, local))
            async for one in fairly(candidates)
        ]
        judged = await self._reserve_budgets(judged, standing, local, connection)
        judged = [await self._stood_for(*one, standing, local, connection) for one in judged]
        judged = [(one, self._put_to(one, verdict)) for one, verdict in judged]
        slots = await self._reserve_rate_slots(judged, standing, connection)
        machine = datetime.now(UTC)  # rates are vendors', whose time is not the business's
        decisions: list[Decision] = []
        try:
            async for candidate, verdict in fairly(judged):
                paused = _of(candidate, standing).holds_up(verdict.tool)
                slot = slots.get(candidate.call.call_id)
                decision = decide(
                    candidate, verdict, paused, slot, machine, self._free(candidate, verdict), self._secrets
                )
                decision = replace(decision, reserved=verdict.reserved)
                if decision.prepared and decision.tool:
                    self.places.take(decision.tool.vendor)
                decisions.append(replace(decision, standing=verdict.standing))
        except BaseException:
            self.give_back(decisions)
            raise
        return decisions

    async def _stood_for(
        self, candidate: Candidate, verdict: Verdict, standing: Standing, local: datetime, connection: Any
    ) -> tuple[Candidate, Verdict]:
        """Judge a call again for which a person would have to be asked, when one has agreed to such calls before."""
        if verdict.asking is None or verdict.tool is None or verdict.asking.people > 1 or verdict.asking.question:
            return candidate, verdict
        if any(rule.startswith(RULE) for rule in verdict.asking.rules):
            return candidate, verdict  # agreed to in general was what policies ask, within the budgets
        rules, call = verdict.asking.rules, candidate.call
        found = await self._store.use_standing(call, verdict.tool, rules, verdict.asking.policy_version, connection)
        if found is None:
            return candidate, verdict
        known = replace(_of(candidate, standing), agreed=Agreement(1, frozenset(rules)), standing=found)
        again = judge(call, known, self.catalogue, self.rulebook.policies, local)
        checks = [*again.checks, *(one for one in verdict.checks if one["check"] == BUDGET_CHECK)]
        return candidate, replace(again, checks=checks, standing=found, reserved=verdict.reserved)

    def _put_to(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        """A question with whom it is put to; refused where that is nobody."""
        if verdict.asking is None or not verdict.asking.question:
            return verdict
        given = candidate.call.arguments
        try:
            whom, long = audience(given, self._people), seconds(given, self.approval_seconds)
        except VioxError as error:
            return replace(verdict, asking=None, error=error.as_dict())
        return replace(verdict, asking=replace(verdict.asking, audience=whom, seconds=long))

    def rounds(self, calls: Sequence[Requested]) -> list[list[Requested]]:
        """The calls, in order, such that no round has two of one agent and tool whose history counts."""
        made: list[list[Requested]] = []
        seen: Counter[tuple[str, str]] = Counter()
        for call in sorted(calls, key=lambda one: (one.step, one.index)):
            place = 0
            if has_history(self.rulebook.policies, call):
                place = seen[call.agent, call.tool]
                seen[call.agent, call.tool] += 1
            made += [[] for _ in range(place + 1 - len(made))]
            made[place].append(call)
        return made

    def needs_transaction(self, calls: Sequence[Requested]) -> bool:
        """Whether deciding on these and storing them has to be one transaction."""
        return any(has_history(self.rulebook.policies, call) or self._concerns_budgets(call) for call in calls)

    def _concerns_budgets(self, call: Requested) -> bool:
        return concerns(self._budgets, call, self.catalogue.tools.get(call.tool))

    async def _reserve_budgets(
        self, judged: Sequence[tuple[Candidate, Verdict]], standing: Standing, local: datetime, connection: Any
    ) -> list[tuple[Candidate, Verdict]]:
        """Reserve for those that may go, and for those that people are asked about already: they count while they wait."""
        asked = [
            (one.call.call_id, want, _of(one, standing).lifted)
            for one, verdict in judged
            if verdict.tool and not verdict.error and (want := wanted(self._budgets, one.call, verdict.tool))
        ]
        if not asked:
            return list(judged)
        came = await reserve(connection, asked)
        made: list[tuple[Candidate, Verdict]] = []
        for one, verdict in judged:
            if one.call.call_id in came:
                reserved, reasons = came[one.call.call_id]
                verdict = self._within_budgets(one, verdict, _of(one, standing), local, reasons)
                verdict = replace(verdict, reserved=reserved)
            made.append((one, verdict))
        return made

    def _within_budgets(
        self, one: Candidate, verdict: Verdict, standing: Preconditions, local: datetime, reasons: Mapping[str, str]
    ) -> Verdict:
        """With what its budgets say. People who are asked anew are asked about everything: as many have to agree as before."""
        check = {"check": BUDGET_CHECK, "passed": not reasons, "rules": list(reasons)} | (
            {"people": 1} if reasons else {}
        )
        if not reasons:
            return replace(verdict, checks=[*verdict.checks, check])
        policies = self.rulebook.policies
        if standing.agreed:
            verdict = judge(one.call, replace(standing, agreed=None), self.catalogue, policies, local)
        return replace(verdict, checks=[*verdict.checks, check]).over_budget(reasons, policies)

    async def _with_facts(
        self, candidates: Sequence[Candidate], standing: Standing, now: datetime, connection: Any
    ) -> Standing:
        policies, calls = self.rulebook.policies, [one.call for one in candidates]
        if connection is not None:
            await lock(connection, policies, calls)
        known = await self._store.known_of(policies, self.catalogue.tools, calls, now, connection)
        return {**standing, **{key: replace(standing[key], known=facts) for key, facts in known.items()}}

    def give_back(self, decisions: Iterable[Decision]) -> None:
        """Places of calls that were not started."""
        for one in decisions:
            if one.prepared and one.tool:
                self.places.give_back(one.tool.vendor)

    def take_back(self, decision: Decision) -> None:
        """The place of a call that is started after all."""
        if decision.tool:
            self.places.take(decision.tool.vendor)

    async def _reserve_rate_slots(
        self, judged: Sequence[tuple[Candidate, Verdict]], standing: Standing, connection: Any
    ) -> dict[CallId, datetime]:
        """The slots of calls that could go but for their rate; a slot reserved for what is held up would be lost."""
        turns = _Turns(datetime.now(UTC))
        rated = [
            (one.call.call_id, rate, rate_key(rate, one.call.arguments))
            for one, verdict in judged
            if (tool := verdict.tool) and not verdict.error
            if self._free(one, verdict)
            and not _of(one, standing).holds_up(tool)
            and not verdict.asking
            and not turns.has_come(one, tool)
            for rate in (*tool.rates, *self._agents_rate(one.call.agent))
        ]
        return await self._store.reserve_rate_slots(rated, connection)

    def _agents_rate(self, agent: str) -> tuple[Rate, ...]:
        return (Rate(f"agent:{agent}", *self._per_agent),) if self._per_agent else ()

    def _free(self, candidate: Candidate, verdict: Verdict) -> bool:
        return candidate.claimed or (
            verdict.tool is not None and self.places.free(verdict.tool.vendor, live=candidate.call.live) > 0
        )


def decide(
    candidate: Candidate,
    verdict: Verdict,
    paused: bool,
    slot: datetime | None,
    now: datetime,
    has_place: bool,
    secrets: Secrets,
) -> Decision:
    """Refuse, wait or send. `slot` is when the call may go at its rate, where one was reserved now."""
    tool, checks = verdict.tool, verdict.checks
    if verdict.error or tool is None:
        return Decision(candidate, checks, tool, error=_discreet(verdict.error, tool, candidate))
    if problem := _unsealable(tool, candidate, secrets):
        return Decision(candidate, checks, tool, error=problem)
    if verdict.asking and candidate.in_doubt:
        return Decision(candidate, checks, tool, error=ASKED_TOO_LATE)
    if verdict.asking:
        return Decision(candidate, checks, tool, asking=verdict.asking)
    if paused:
        return Decision(candidate, checks, tool)
    if slot is not None and slot > now:
        return Decision(candidate, checks, tool, not_before=slot)
    if not has_place:
        return Decision(candidate, checks, tool)
    if candidate.attempt > 2 * MAX_ATTEMPTS:
        return Decision(candidate, checks, tool, error=EXHAUSTED)
    if candidate.keyed and candidate.in_doubt and _forgotten(tool, candidate, now):
        return Decision(candidate, checks, tool, error=FORGOTTEN)
    try:
        prepared = _request(tool, candidate, secrets)
        may_be_kept = shown(tool, candidate.call.arguments, prepared, secrets, key=candidate.call.call_id)
        return Decision(candidate, checks, tool, prepared=prepared, shown=may_be_kept)
    except VioxError as error:
        return Decision(candidate, checks, tool, error=error.as_dict())


def _discreet(error: dict[str, Any] | None, tool: Tool | None, candidate: Candidate) -> dict[str, Any] | None:
    """An error that does not say a sensitive argument back. Short ones are not looked for in a text."""
    for value in tool.redact_arguments.values(candidate.call.arguments) if tool and error else ():
        if len(value) >= SHORTEST:
            error = {name: _without(told, value) for name, told in (error or {}).items()}
    return error


def _without(told: Any, value: str) -> Any:
    return told.replace(value, REDACTED) if isinstance(told, str) else told


def _unsealable(tool: Tool, candidate: Candidate, secrets: Secrets) -> dict[str, Any] | None:
    """Why a call with sensitive arguments cannot be kept until it has ended."""
    if candidate.unreadable:
        return UNREADABLE
    if not tool.redact_arguments.any_in(candidate.call.arguments):
        return None
    try:
        Seals(secrets).check()
    except VioxError as error:
        return error.as_dict()
    return None


def _request(tool: Tool, candidate: Candidate, secrets: Secrets) -> Prepared:
    """The call as a request; a repeat under the same key as the ledger has it, byte for byte. Raises VioxError."""
    prepared = prepare(tool, candidate.call.arguments, secrets, key=candidate.call.call_id)
    if candidate.keyed and (first := candidate.first):
        return again(prepared, first.url, first.headers, first.body)
    return prepared


def _forgotten(tool: Tool, candidate: Candidate, now: datetime) -> bool:
    """The vendor need not know the idempotency key any more: a repeat could act a second time."""
    if tool.idempotency is None or candidate.first is None:
        return False
    return now - candidate.first.at > timedelta(hours=tool.idempotency.hours)


class _Turns:
    """Slots reserved earlier are good when they have just come.

    Calls that were held up must not all go at once: a vendor counts what arrives in a second, not what was planned for it. So of
    those that are late by more than their rate's distance as many go as it has burst, and the others get new slots.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._late: Counter[str] = Counter()

    def has_come(self, candidate: Candidate, tool: Tool) -> bool:
        slot, some = candidate.rate_slot, timedelta(seconds=RATE_SLOT_VALID_SECONDS)
        if slot is None or abs(self._now - slot) > some:
            return False
        late = (self._now - slot).total_seconds()
        rates = [(rate_key(one, candidate.call.arguments), one) for one in tool.rates if late > 1 / one.per_second]
        if any(self._late[key] >= rate.burst for key, rate in rates):
            return False
        self._late.update(key for key, _ in rates)
        return True


def _of(candidate: Candidate, standing: Standing) -> Preconditions:
    return standing[candidate.call.agent, candidate.call.call_id]
