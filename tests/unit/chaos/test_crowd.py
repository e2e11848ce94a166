"""Whether the judge of a crowd sees what is not once, not in order, or in another's thread."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sandbox.models.turns import Question, Result, Said
from tests.chaos import crowd, verdict
from tests.chaos.crowd import Conversation

ANA, BO = Conversation("ana", "closer", 2, 2), Conversation("bo", "steward", 1, 1)
STEPS = [(1, "trigger"), (2, "model"), (3, "results"), (4, "model"), (5, "outcome")]


def call(run: str, index: int, who: str, n: int, **more: Any) -> dict[str, Any]:
    made = {
        "call_id": f"{run}.2.{index}",
        "run_id": run,
        "conversation_id": who,
        "state": "succeeded",
        "effect": "idempotent",
    }
    return made | {"arguments": {"n": n, "who": who}, "attempt": 1, "look_ups": 0} | more


def found(calls: list[dict[str, Any]], **texts: str) -> verdict.Found:
    ids = {one["call_id"] for one in calls}
    told = {"ana": "right: 2", "bo": "right: 1"} | texts
    runs = [{"run_id": f"r-{who}", "conversation_id": who, "status": "finished", "text": t} for who, t in told.items()]
    steps = {f"r-{who}": STEPS for who in told}
    return verdict.Found(runs, calls, ids, steps, ids, ids, 0, Counter(), 0, 0)


RIGHT = [call("r-ana", 0, "ana", 0), call("r-ana", 1, "ana", 1), call("r-bo", 0, "bo", 0)]
TOLD = Counter({("ana", 0): 1, ("ana", 1): 1, ("bo", 0): 1})


def told(calls: list[dict[str, Any]], told: Counter[tuple[str, int]] = TOLD, **texts: str) -> list[str]:
    return list(crowd.problems([ANA, BO], found(calls, **texts), told))


def test_a_crowd_as_it_should_be_has_no_problems() -> None:
    assert told(RIGHT) == []


def test_what_is_lost_doubled_or_elsewhere_is_told() -> None:
    assert told(RIGHT[1:]) == ["call ('ana', 0) is on record 0 times"]
    assert told(RIGHT, TOLD + Counter({("bo", 0): 1})) == ["the vendor got ('bo', 0) 2 times"]
    assert told([*RIGHT[:2], call("r-ana", 2, "bo", 0)]) == ["call r-ana.2.2 of bo is in bo"]
    assert told([*RIGHT[:2], call("r-bo", 0, "bo", 0, state="failed")]) == ["call r-bo.2.0 is failed"]
    assert told(RIGHT, bo="WRONG: result 0") == [
        "bo ended as ('finished', 'WRONG: result 0'), not with 1 right results"
    ]


def question(*results: str) -> Question:
    said = Said("Task: crowd 3 by 2 as ana")
    return Question("m", "You are Closer", (said, *(Result("toolu_1", "crowd_echo", one) for one in results)), (), 100)


def test_the_model_calls_several_at_a_time_until_all_are_there() -> None:
    assert [dict(one.arguments) for one in crowd.play(question()).calls] == [{"n": n, "who": "ana"} for n in (0, 1)]
    first = ['{"n":0,"who":"ana"}', '{"n":1,"who":"ana"}']
    assert [one.arguments["n"] for one in crowd.play(question(*first)).calls] == [2]
    assert crowd.play(question(*first, '{"n":2,"who":"ana"}')).text == "right: 3"


@pytest.mark.parametrize(
    "results", [['{"n":1,"who":"ana"}', '{"n":0,"who":"ana"}'], ['{"n":0,"who":"bo"}'], ["failed"]]
)
def test_the_model_says_which_result_is_not_the_one_that_belongs_there(results: list[str]) -> None:
    assert crowd.play(question(*results)).text.startswith("WRONG: result 0 of ana")
