"""Checks before a call: deny by default, errors a model can repair, each check on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from services.tool_gateway.call import judge as judging
from services.tool_gateway.call.call import Preconditions, Requested
from services.tool_gateway.call.judge import Verdict, with_same_calls
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.policy.engine import Policies
from shared.ids import CallId, RunId, ThreadId

OPEN = {"open.cedar": '@id("open") permit(principal, action, resource);'}
RUN = RunId(UUID(int=1))
FINE = Preconditions(duplicate_in_doubt=False, run_over=False, paused=False)
CATALOGUE = catalogue.load()
CONTACT = {
    "associations": [{"to": {"id": "5"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]}]
}
DEAL = {"properties": {"dealname": "x", "dealstage": "closedwon"}} | CONTACT


def judge(one: Requested, preconditions: Preconditions, tools: Catalogue) -> Verdict:
    return judging.judge(one, preconditions, tools, Policies(OPEN, tools), datetime(2026, 11, 30, 12))


def call(tool: str, arguments: dict[str, Any], agent: str = "closer") -> Requested:
    return Requested(CallId(f"{RUN}.1.0"), RUN, 1, 0, agent, ThreadId(UUID(int=2)), "c", tool, arguments, None)


def test_a_granted_call_that_fits_passes_every_check_on_record() -> None:
    verdict = judge(call("hubspot_create_deal", DEAL), FINE, CATALOGUE)
    assert (verdict.error, verdict.tool) == (None, CATALOGUE.tools["hubspot_create_deal"])
    assert [c["check"] for c in verdict.checks] == [
        "tool.known",
        "tool.granted",
        "run.open",
        "deadline.open",
        "arguments.size",
        "arguments.schema",
        "recipient.consents",
        "duplicate.in_doubt",
        "turn.once",
        "approval.not_refused",
        "policy",
    ]
    assert all(c["passed"] for c in verdict.checks)


@pytest.mark.parametrize("agent", ["voice", "controller", "operator", "builder"])
def test_what_is_not_granted_is_denied(agent: str) -> None:
    verdict = judge(call("hubspot_create_deal", DEAL, agent), FINE, CATALOGUE)
    assert verdict.error is not None
    assert verdict.error["code"] == "tool.not_granted"


def test_unknown_tool_suggests_granted_ones_only() -> None:
    verdict = judge(call("hubspot_create_deals", {}), FINE, CATALOGUE)
    assert verdict.error is not None
    assert verdict.error["code"] == "tool.not_found"
    assert "hubspot_create_deal" in verdict.error["remedy"]
    assert "airtable" not in judge(call("airtable_create_basis", {}), FINE, CATALOGUE).error["remedy"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({}, "arguments"),
        ({"properties": {"dealname": "x"}} | CONTACT, "properties"),
        ({"properties": {"dealname": "x", "dealstage": "s", "amount": "12,5"}} | CONTACT, "properties.amount"),
        (DEAL | {"surprise": 1}, "arguments"),
        (DEAL | {"associations": [{"to": {"id": 5}, "types": []}]}, "associations.0.to.id"),
    ],
)
def test_wrong_arguments_say_where_and_what(arguments: dict[str, Any], where: str) -> None:
    verdict = judge(call("hubspot_create_deal", arguments), FINE, CATALOGUE)
    assert verdict.error is not None
    assert verdict.error["code"] == "tool.invalid_arguments"
    assert verdict.error["field"] == where


@pytest.mark.rule(11)
def test_a_duplicate_of_an_unknown_call_is_refused() -> None:
    preconditions = Preconditions(duplicate_in_doubt=True, run_over=False, paused=False)
    verdict = judge(call("hubspot_create_deal", DEAL), preconditions, CATALOGUE)
    assert verdict.error is not None
    assert verdict.error["code"] == "tool.duplicate_in_doubt"


def test_calls_of_ended_runs_and_huge_arguments_are_refused() -> None:
    over = judge(call("hubspot_create_deal", DEAL), Preconditions(False, True, False), CATALOGUE)
    assert over.error is not None
    assert over.error["code"] == "run.over"
    huge = judge(call("hubspot_create_note", {"properties": {"hs_note_body": "x" * 300_000}}), FINE, CATALOGUE)
    assert huge.error is not None
    assert huge.error["code"] == "tool.arguments_too_large"


# -- the same call twice in one turn ------------------------------------------------------------------------------------

CUSTOMER = {"DisplayName": "Bo"}


def of_turn(step: int, *indices: int, run: RunId = RUN, **more: Any) -> list[Requested]:
    usual: dict[str, Any] = {"tool": "hubspot_create_deal", "arguments": DEAL} | more
    return [
        replace(
            call(usual["tool"], usual["arguments"]),
            call_id=CallId(f"{run}.{step}.{index}"),
            run_id=run,
            step=step,
            index=index,
        )
        for index in indices
    ]


def same_calls(*calls: Requested) -> dict[str, str]:
    """Which of the calls are the same as which other."""
    standing = with_same_calls(calls, {(one.agent, one.call_id): FINE for one in calls})
    return {
        call_id.partition(".")[2]: found.same_call.partition(".")[2]
        for (_, call_id), found in standing.items()
        if found.same_call
    }


def test_identical_calls_of_a_turn_are_the_first_one() -> None:
    assert same_calls(*of_turn(1, 2, 0, 1)) == {"1.1": "1.0", "1.2": "1.0"}
    reordered = of_turn(1, 1, arguments=dict(reversed(DEAL.items())))
    assert same_calls(*of_turn(1, 0), *reordered) == {"1.1": "1.0"}


def test_calls_of_other_turns_runs_tools_and_arguments_are_their_own() -> None:
    other = DEAL | {"properties": {"dealname": "y", "dealstage": "closedwon"}}
    calls = [
        *of_turn(1, 0),
        *of_turn(2, 0),
        *of_turn(1, 1, arguments=other),
        *of_turn(1, 2, tool="hubspot_create_ticket"),
        *of_turn(1, 1, run=RunId(UUID(int=9))),
    ]
    assert same_calls(*calls) == {}


@pytest.mark.parametrize(
    ("tool", "arguments", "refused"),
    [
        ("hubspot_create_deal", DEAL, True),
        ("quickbooks_create_customer", CUSTOMER, True),
        ("hubspot_get_deal", {"dealId": "7"}, False),
        ("hubspot_update_deal", {"dealId": "7", "properties": {"amount": "1"}}, False),
    ],
)
def test_only_what_would_happen_twice_is_refused(tool: str, arguments: dict[str, Any], refused: bool) -> None:
    everything = catalogue.Catalogue(list(CATALOGUE.tools.values()), {"closer": frozenset(CATALOGUE.tools)})
    again = replace(FINE, same_call=CallId(f"{RUN}.1.0"))
    verdict = judge(call(tool, arguments), again, everything)
    if not refused:
        assert verdict.error is None
        return
    assert verdict.error is not None
    assert verdict.error["code"] == "tool.same_call"
    assert f"{RUN}.1.0" in verdict.error["message"]
    assert verdict.checks[-1] == {"check": "turn.once", "passed": False}
