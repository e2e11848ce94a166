"""Stories that cannot be, one rule at a time, and those that can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.audit.verify import ACT_FIELDS, LEDGER_FIELDS, Entry, Sense

PASSED, FAILED = '[{"check":"policy","passed":true}]', '[{"check":"policy","passed":false}]'


def ledger(
    phase: str, attempt: int = 1, call: str = "c", checks: str | None = None, **more: Any
) -> tuple[dict[str, Any], str | None]:
    return {"kind": "ledger", "call": call, "attempt": attempt, "phase": phase, **more}, checks


def intent(
    attempt: int = 1, call: str = "c", checks: str | None = PASSED, **more: Any
) -> tuple[dict[str, Any], str | None]:
    return ledger("intent", attempt, call, checks, **more)


def outcome(attempt: int = 1, call: str = "c", **more: Any) -> tuple[dict[str, Any], str | None]:
    facts, checks = ledger("outcome", attempt, call)
    return facts | {"status": 200, "state": "succeeded"} | more, checks


def act(name: str, **more: Any) -> tuple[dict[str, Any], str | None]:
    return {"kind": "act", "act": name, **more}, None


ASKED = ledger("decision", 0, checks=FAILED, approval="apr_1")
GIVEN = ledger("approval", approval="apr_1", decision="approved")
RIGHT = {
    "sent and answered": [intent(), outcome()],
    "sent twice": [intent(), outcome(state="failed", status=503), intent(2), outcome(2)],
    "refused": [ledger("decision", 0, checks=FAILED)],
    "asked, agreed to, sent": [ASKED, GIVEN, intent(approval="apr_1"), outcome()],
    "asked, agreed to, sent twice": [ASKED, GIVEN, intent(approval="apr_1"), intent(2, approval="apr_1")],
    "by a standing approval": [act("approval.standing", approval="std_1"), intent(approval="std_1")],
    "settled": [intent(), ledger("settled", state="succeeded")],
    "never sent and ended": [ledger("outcome", 0, state="denied")],
    "asked, then a budget was raised": [ASKED, act("budget.raised"), intent()],
    "answered by a person": [ASKED, ledger("approval", approval="apr_1", decision="answered")],
}
WRONG = {
    "an outcome without an intent": ([outcome()], "without an intent"),
    "an outcome before its intent": ([outcome(), intent()], "without an intent"),
    "an outcome of another attempt": ([intent(), outcome(2)], "without an intent"),
    "settled without an intent": ([ledger("settled", state="failed")], "without an intent"),
    "two intents of one attempt": ([intent(), intent()], "a second intent"),
    "two outcomes of one attempt": ([intent(), outcome(), outcome()], "a second outcome"),
    "sent though refused": ([ledger("decision", 0, checks=FAILED), intent()], "although it was refused"),
    "sent though a check had failed": ([intent(checks=FAILED)], "although a check had failed"),
    "sent without being judged": ([intent(checks=None)], "without having been judged"),
    "sent while it waited": ([ASKED, intent()], "although it waited"),
    "sent though nobody agreed": ([ASKED, intent(approval="apr_1")], "nobody had given"),
    "sent before anybody agreed": ([ASKED, intent(approval="apr_1"), GIVEN], "nobody had given"),
    "sent by another call's approval": ([ASKED, GIVEN, intent(call="d", approval="apr_1")], "nobody had given"),
    "an approval given twice": (
        [ASKED, GIVEN, ledger("approval", 2, approval="apr_1", decision="approved")],
        "given twice",
    ),
    "sent though a person refused": (
        [ASKED, ledger("approval", approval="apr_1", decision="rejected"), intent()],
        "a person refused",
    ),
    "sent though a person answered": (
        [ASKED, ledger("approval", approval="apr_1", decision="answered"), intent()],
        "a person refused",
    ),
    "by a standing approval that there is not": ([intent(approval="std_1")], "nobody gave"),
}


def told(story: list[tuple[dict[str, Any], str | None]]) -> list[str]:
    sense = Sense()
    found: list[str] = []
    for index, (facts, checks) in enumerate(story):
        names = LEDGER_FIELDS if facts["kind"] == "ledger" else ACT_FIELDS
        entry = Entry(
            index, json.dumps(facts).encode(), b"", tuple(checks if name == "checks" else None for name in names)
        )
        found += sense.problems(entry, facts)
    return found


@pytest.mark.parametrize("story", RIGHT)
def test_what_can_be(story: str) -> None:
    assert told(RIGHT[story]) == []


@pytest.mark.parametrize("story", WRONG)
def test_what_cannot_be(story: str) -> None:
    entries, sentence = WRONG[story]

    assert any(sentence in one for one in told(entries))
