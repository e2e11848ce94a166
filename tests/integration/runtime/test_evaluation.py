"""Recorded runs worked anew: what passes, what does not and why, with a model that answers from a list."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import BadInput
from shared.evaluation.case import Case, case_of
from shared.evaluation.run import Verdict, evaluate
from shared.models.port import AssistantMessage, ModelError, ModelToolCall, ToolSpec
from shared.operations import store
from shared.runtime.history import Step
from tests.integration.runtime.world import CLOSER, RUN, Model, ask

TOOLS = [ToolSpec(name, name, {"type": "object"}) for name in ("look_up", "send", "refund")]
READS = ["look_up"]
TEXT = "Good news: your order left this morning."


def turn(*calls: tuple[str, dict[str, Any]], text: str = "") -> AssistantMessage:
    return AssistantMessage(text, tuple(ModelToolCall(f"p{at}", *one) for at, one in enumerate(calls)))


LOOK_UP = turn(("look_up", {"order": "A1"}))
SEND = turn(("send", {"to": "+15550100", "body": TEXT}))
DONE = AssistantMessage("The customer was told.")


@pytest.fixture
async def case(agents: Any, admin: Any, operator: Any) -> Case:
    """A run that looked an order up and told the customer."""
    agent = await agents(LOOK_UP, SEND, DONE)
    await agent.accept(ask("where is my order?"))
    await agent.work()
    for step, value in ((1, {"state": "shipped"}), (3, {"sid": "SM1"})):
        await agent.hear(admin, f"{RUN}.{step}.0", value)
        await agent.work()
    rows = await operator.fetch(store.SQL["steps"], RUN, "closer")
    thread = [Step(RUN, row["step"], row["kind"], row["body"]) for row in rows]
    return Case.model_validate_json(case_of("closer", thread, RUN, TOOLS, READS, []).model_dump_json())


async def worked(case: Case, *turns: AssistantMessage | Exception, prompt: str | None = None) -> Verdict:
    return await evaluate(CLOSER, case, Model(*turns), prompt=prompt)


async def test_a_case_expects_the_end_and_every_call_that_does_more_than_read(case: Case) -> None:
    assert case.expects.status == "finished"
    assert {call: effect.model_dump() for call, effect in case.expects.effects.items()} == {
        "3.0": {"tool": "send", "phrased": ["/body"]}
    }


async def test_the_same_run_passes_and_says_what_it_took(case: Case) -> None:
    verdict = await worked(case, LOOK_UP, SEND, DONE)
    assert (verdict.passed, verdict.problems, verdict.status, verdict.text) == (True, [], "finished", DONE.text)
    assert (verdict.turns, verdict.tokens, verdict.recorded_tokens) == (3, 3 * 107, 3 * 107)


async def test_results_come_from_the_record_and_the_prompt_from_the_caller(case: Case) -> None:
    model = Model(LOOK_UP, SEND, DONE)
    await evaluate(CLOSER, case, model, prompt="You are brief.")
    assert {request.system for request in model.requests} == {"You are brief."}
    assert "shipped" in str(model.requests[1].messages)


async def test_another_wording_passes_and_another_receiver_does_not(case: Case) -> None:
    other = turn(("send", {"to": "+15550100", "body": "It is on its way to you."}))
    assert (await worked(case, LOOK_UP, other, DONE)).passed
    silent = turn(("send", {"to": "+15550100", "body": " "}))
    assert not (await worked(case, LOOK_UP, silent, DONE)).passed
    wrong = await worked(case, LOOK_UP, turn(("send", {"to": "+15550199", "body": TEXT})), DONE)
    assert wrong.problems == [
        "asks for send with other arguments than call 3.0 of the record: /to is '+15550199', not '+15550100'"
    ]


async def test_an_effect_left_out_or_done_twice_does_not_pass(case: Case) -> None:
    assert (await worked(case, LOOK_UP, DONE)).problems == ["did not ask for send (call 3.0 of the record)"]
    twice = await worked(case, LOOK_UP, SEND, SEND, DONE)
    assert twice.problems == ["asks for send once more than the record has it"]


async def test_what_is_not_on_record_ends_the_run(case: Case) -> None:
    verdict = await worked(case, LOOK_UP, turn(("refund", {"charge": "ch_1"})), DONE)
    assert verdict.problems == ["asks for refund, of which nothing is on record: {'charge': 'ch_1'}"]


async def test_a_look_up_may_be_made_again_or_left_out(case: Case) -> None:
    assert (await worked(case, LOOK_UP, LOOK_UP, SEND, DONE)).passed
    assert (await worked(case, SEND, DONE)).passed


async def test_a_person_may_ask_for_less_or_for_more(case: Case) -> None:
    case.expects.effects.clear()
    assert (await worked(case, LOOK_UP, DONE)).passed
    case.expects.never.append("send")
    assert (await worked(case, SEND, DONE)).problems == ["asks for send, which it never may"]
    case.expects.status = "failed"
    assert (await worked(case, LOOK_UP, DONE)).problems == ["ended as finished, not as failed"]


async def test_a_model_that_is_away_is_no_verdict_about_it(case: Case) -> None:
    verdict = await worked(case, ModelError("model.unavailable", "the provider is away.", retryable=True))
    assert (verdict.passed, verdict.problems, verdict.error) == (False, [], "the provider is away.")


async def test_a_run_that_has_not_ended_makes_no_case(case: Case) -> None:
    steps = [Step(RUN, one.step, one.kind, one.body) for one in case.steps]
    with pytest.raises(BadInput, match="has not ended"):
        case_of("closer", steps[:-1], RUN, TOOLS, READS, [])
    fork = Step(RUN, 2, "fork", {"of": str(RUN), "at": 2, "by": "dana"})
    with pytest.raises(BadInput, match="is a fork"):
        case_of("closer", [*steps[:2], fork, *steps[3:]], RUN, TOOLS, READS, [])
