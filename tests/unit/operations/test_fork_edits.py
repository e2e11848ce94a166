"""An edited result of a fork is held against what is on record: what rules may read has to be there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from shared.errors import BadInput
from shared.runtime.forks import Changes, Fork, plan, rules_failed
from shared.runtime.history import Step
from shared.runtime.shapes import misfits

RUN = UUID(int=1)
CHARGE = {"id": "ch_1", "amount": 900, "currency": "eur", "refunds": {"data": []}, "email": None}


def record(state: str = "succeeded", result: Any = CHARGE) -> list[Step]:
    error = None if state == "succeeded" else {"code": "http.404", "message": "no such charge"}
    came = {"call_id": f"{RUN}.1.0", "tool": "stripe_get_charge", "state": state, "result": result, "error": error}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("trigger", {"type": "viox.task.requested", "data": {"instruction": "refund it"}}),
        ("plan", {"node": "look", "calls": []}),
        ("results", {"of": "plan", "results": [came]}),
        ("plan", {"node": "refund", "calls": []}),
    ]
    return [Step(RUN, number, kind, body) for number, (kind, body) in enumerate(bodies)]


def forked(value: Any, steps: list[Step] | None = None, answered: dict[str, Any] | None = None) -> Fork:
    return plan(steps or record(), 3, Changes(results={"1.0": value}), "dana", answered)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({key: value for key, value in CHARGE.items() if key != "currency"}, "currency is missing"),
        (CHARGE | {"amount": "900"}, "amount is a text, on record it is a number"),
        (CHARGE | {"amount": True}, "amount is a truth value, on record it is a number"),
        (CHARGE | {"refunds": []}, "refunds is a list, on record it is an object"),
        (CHARGE | {"refunds": {}}, "refunds.data is missing"),
        ([CHARGE], "it is a list, on record it is an object"),
    ],
)
def test_a_result_that_rules_could_not_read_is_refused_naming_the_field(value: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        forked(value)
    assert refused.value.code == "fork.result_misfit"
    assert "stripe_get_charge (call 1.0)" in refused.value.message
    assert refused.value.field == "--result"
    assert "whole result" in str(refused.value.remedy)


def test_null_and_a_field_that_is_nowhere_on_record_are_warnings_that_the_fork_keeps() -> None:
    made = forked(CHARGE | {"currency": None, "amuont": 100})
    assert made.body["warnings"] == [
        "the result of stripe_get_charge (call 1.0): currency is null, on record it is a text.",
        "the result of stripe_get_charge (call 1.0): amuont is nowhere on record.",
    ]
    assert "warnings" not in forked(CHARGE | {"amount": 10.5, "email": "a@b.example"}).body


def test_items_of_lists_are_held_against_all_items_on_record() -> None:
    recorded = [{"data": [{"id": "a", "note": "x"}, {"id": "b"}], "more": False}]
    assert misfits({"data": [], "more": True}, recorded).broken == []
    assert misfits({"data": [{"id": "c"}], "more": True}, recorded).broken == []
    assert misfits({"data": [{"note": "c"}], "more": True}, recorded).broken == ["data.0.id is missing"]
    assert misfits({"data": [{"id": 1}], "more": True}, recorded).broken == [
        "data.0.id is a number, on record it is a text"
    ]


def test_what_is_written_for_a_failed_call_has_the_shape_of_the_tools_other_answers() -> None:
    failed = record("failed", None)
    others = {"stripe_get_charge": [CHARGE, {key: CHARGE[key] for key in ("id", "amount", "currency")}]}
    with pytest.raises(BadInput, match="currency is missing"):
        forked({"id": "ch_1", "amount": 1}, failed, others)
    assert forked({"id": "ch_1", "amount": 1, "currency": "usd"}, failed, others).edited[2]
    assert forked({"anything": 1}, failed).edited[2], "nothing on record says what it answers"


def test_the_reason_of_rules_that_failed_says_what_can_be_done() -> None:
    edited = rules_failed("reckon", {"edited": [2]}, KeyError("currency"))
    assert (edited.code, edited.message) == (
        "fork.rules_failed",
        "the rules of reckon cannot work on what was edited: KeyError: 'currency'.",
    )
    assert not edited.retryable
    assert "viox replay" in str(rules_failed("reckon", {}, KeyError("currency")).remedy)
