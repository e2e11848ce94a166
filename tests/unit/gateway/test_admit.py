"""One decision for new and for waiting calls: refuse, wait, or send."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from services.tool_gateway.call.admit import Admission, decide
from services.tool_gateway.call.call import Candidate, Decision, Intent, Preconditions, Requested
from services.tool_gateway.call.close import refused
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.judge import judge
from services.tool_gateway.call.outcome import MAX_ATTEMPTS
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Idempotency, Rate
from services.tool_gateway.policy.engine import Policies
from services.tool_gateway.policy.rulebook import Rulebook
from services.tool_gateway.wire.credentials import Secrets
from shared.business import Business
from shared.ids import CallId, RunId, ThreadId

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPEN = {"open.cedar": '@id("open") permit(principal, action, resource);'}
RUN = RunId(UUID(int=1))
FINE = Preconditions(duplicate_in_doubt=False, run_over=False, paused=False)
TOKEN = {"HUBSPOT_ACCESS_TOKEN": "pat-na1-0000"}
OWNERS = catalogue.load().tools["hubspot_list_owners"]
KEYED = replace(OWNERS, effect="keyed", idempotency=Idempotency("header", "Idempotency-Key", hours=24))
SENT = Intent("GET", "https://api.hubapi.com/crm/v3/owners?before=1", [("Accept", "text/x-first")], b"first", NOW, True)


def call(index: int = 0) -> Requested:
    return Requested(
        CallId(f"{RUN}.1.{index}"), RUN, 1, index, "closer", ThreadId(UUID(int=2)), "c", OWNERS.name, {}, None
    )


def decided(
    candidate: Candidate,
    tool: Any = OWNERS,
    standing: Preconditions = FINE,
    slot: datetime | None = None,
    has_place: bool = True,
    secrets: dict[str, str] = TOKEN,
) -> Decision:
    tools = Catalogue([tool], {"closer": frozenset({tool.name})})
    verdict = judge(candidate.call, standing, tools, Policies(OPEN, tools), NOW)
    return decide(candidate, verdict, standing.paused, slot, NOW, has_place, Secrets(secrets))


def claimed(attempt: int = 2, **more: Any) -> Candidate:
    return Candidate(call(), attempt, claimed=True, **more)


BOTH = pytest.mark.parametrize("candidate", [Candidate(call()), claimed()], ids=["new", "waiting"])


@BOTH
def test_what_nothing_holds_up_is_sent(candidate: Candidate) -> None:
    decision = decided(candidate, slot=NOW)
    assert decision.state == "executing"
    ready = decision.ready(100.0)
    assert (ready.attempt, ready.lease_ends) == (candidate.attempt, 100.0 + OWNERS.timeout_seconds + 5)


@BOTH
def test_what_is_held_up_waits(candidate: Candidate) -> None:
    later = NOW + timedelta(seconds=3)
    assert decided(candidate, slot=later).not_before == later
    for decision in (
        decided(candidate, slot=later),
        decided(candidate, standing=replace(FINE, paused=True)),
        decided(candidate, has_place=False),
    ):
        assert (decision.state, decision.error) == ("requested", None)


@BOTH
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"standing": replace(FINE, run_over=True)}, "run.over"),
        ({"standing": replace(FINE, duplicate_in_doubt=True)}, "tool.duplicate_in_doubt"),
        ({"secrets": {}}, "credential.missing"),
    ],
)
def test_what_may_not_or_cannot_be_sent_is_refused(candidate: Candidate, more: dict[str, Any], code: str) -> None:
    decision = decided(candidate, **more)
    assert decision.state == "denied"
    assert (decision.error or {})["code"] == code


def test_a_keyed_repeat_is_sent_as_the_ledger_has_it() -> None:
    prepared = decided(claimed(first=SENT, keyed=True), KEYED).prepared
    assert prepared is not None
    assert (prepared.url, prepared.headers, prepared.body) == (SENT.url, SENT.headers, SENT.body)
    anew = decided(claimed(first=SENT), replace(OWNERS, effect="idempotent")).prepared
    assert anew is not None
    assert anew.body != SENT.body


@pytest.mark.rule(8)
def test_a_key_that_the_vendor_may_have_forgotten_is_not_used_again_while_in_doubt() -> None:
    old = replace(SENT, at=NOW - timedelta(hours=25))
    decision = decided(claimed(first=old, keyed=True), KEYED)
    assert (decision.error or {})["code"] == "tool.unknown_outcome"
    assert refused(decision).state == "unknown"
    harmless = claimed(first=replace(old, in_doubt=False), keyed=True)
    assert decided(harmless, KEYED).prepared is not None


@pytest.mark.rule(9)
@pytest.mark.parametrize(("in_doubt", "state"), [(True, "unknown"), (False, "failed")])
def test_giving_up_says_unknown_while_an_attempt_may_have_taken_effect(in_doubt: bool, state: str) -> None:
    last = 2 * MAX_ATTEMPTS
    assert decided(claimed(attempt=last)).prepared is not None
    candidate = claimed(attempt=last + 1, first=replace(SENT, in_doubt=in_doubt))
    end = refused(decided(candidate, replace(OWNERS, effect="idempotent")))
    assert (end.state, end.attempt, (end.error or {})["code"]) == (state, last + 1, "tool.attempts_exhausted")


class Slots:
    """Rate slots at these moments, in order."""

    def __init__(self, *moments: datetime) -> None:
        self.moments = moments
        self.asked: list[CallId] = []

    async def known_of(self, *_: Any) -> dict[Any, Any]:
        return {}

    async def reserve_rate_slots(self, calls: Any, connection: Any = None) -> dict[CallId, datetime]:
        self.asked = [one for one, _, _ in calls]
        return dict(zip(self.asked, self.moments, strict=False))


def admission(slots: Slots, most: int) -> Admission:
    tool = replace(OWNERS, rate=Rate("hubspot", 1, 1))
    tools = Catalogue([tool], {"closer": frozenset({tool.name})})
    rulebook = Rulebook(OPEN, tools)
    return Admission(tools, rulebook, Secrets(TOKEN), cast(Any, slots), InFlightLimiter(most), Business())


def standing(*candidates: Candidate, **more: Any) -> dict[tuple[str, CallId], Preconditions]:
    return {(one.call.agent, one.call.call_id): replace(FINE, **more) for one in candidates}


async def test_a_place_is_taken_by_what_is_sent_and_by_nothing_else() -> None:
    new = [Candidate(call(0)), Candidate(call(1)), Candidate(call(2))]
    past, future = datetime.now(UTC) - timedelta(seconds=9), datetime.now(UTC) + timedelta(hours=1)
    made = admission(Slots(past, future, past), most=1)
    decisions = await made.decide(new, standing(*new))
    assert [one.state for one in decisions] == ["executing", "requested", "requested"]
    assert (decisions[1].not_before, decisions[2].not_before) == (future, None)
    assert made.places.free("hubspot") == 0
    made.give_back(decisions)
    assert made.places.free("hubspot") == 1


async def test_of_calls_that_are_late_at_one_rate_no_more_go_at_once_than_it_has_burst() -> None:
    """Three that a stalled gateway finds due together would arrive together: only one goes, the others get new slots."""
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1)
    slots = Slots(later, later)
    late = [Candidate(call(n), 2, claimed=True, rate_slot=now - timedelta(seconds=1.5)) for n in range(3)]
    fresh = Candidate(call(3), 2, claimed=True, rate_slot=now - timedelta(seconds=0.1))
    decisions = await admission(slots, most=9).decide([*late, fresh], standing(*late, fresh))
    assert [one.state for one in decisions] == ["executing", "requested", "requested", "executing"]
    assert slots.asked == [one.call.call_id for one in late[1:]]


async def test_no_rate_slot_is_spent_on_what_cannot_go_or_has_its_own() -> None:
    now = datetime.now(UTC)
    in_turn, late = claimed(rate_slot=now), claimed(rate_slot=now - timedelta(minutes=1))
    for one, more, asked in [
        (in_turn, {}, False),
        (late, {}, True),
        (late, {"paused": True}, False),
        (late, {"run_over": True}, False),
    ]:
        slots = Slots()
        await admission(slots, most=5).decide([one], standing(one, **more))
        assert bool(slots.asked) == asked
    full = admission(slots := Slots(), most=0)
    await full.decide([Candidate(call())], standing(Candidate(call())))
    assert slots.asked == []
