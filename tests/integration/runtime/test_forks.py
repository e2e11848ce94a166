"""Forks on real Postgres: begun by an operator, gone on with by the agent, from the record and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from langgraph.graph import END

from shared.bus import topics
from shared.errors import BadInput
from shared.ids import thread_id
from shared.models.port import AssistantMessage
from shared.operations import comparing, forks, store
from shared.runtime.flow import Flow
from shared.runtime.forks import Changes
from shared.runtime.history import Step
from shared.runtime.questions import Question
from shared.runtime.replay import replay_run
from tests.integration.runtime import world
from tests.integration.runtime.world import CLOSER, DONE, RUN, ask, calls

EARLIER = AssistantMessage("we spoke of green paint")


async def finished_run(agent: Any, admin: Any) -> None:
    """A conversation of two runs; the second, RUN, made one call."""
    await agent.accept(ask("hello", number="0"))
    await agent.work()
    await agent.accept(ask("look it up"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", {"total": 10})
    await agent.work()


async def work_on(agent: Any, run: UUID) -> None:
    agent.woken.append(thread_id("closer", f"fork:{run}"))
    await agent.work()


async def record_of(operator: Any, run: UUID) -> list[Any]:
    return list(await operator.fetch(store.SQL["steps"], run, "closer"))


async def test_a_fork_goes_on_from_the_record_with_another_result(agents: Any, admin: Any, operator: Any) -> None:
    agent = await agents(EARLIER, calls("a"), DONE, AssistantMessage("done otherwise"))
    await finished_run(agent, admin)
    before = [dict(row) for row in await record_of(operator, RUN)]
    made = await forks.begin(operator, RUN, 3, Changes(results={"1.0": {"total": 99}}), "dana")
    await work_on(agent, made)
    steps = await record_of(operator, made)
    assert [(row["step"], row["kind"]) for row in steps] == [
        (0, "trigger"), (1, "model"), (2, "results"), (3, "fork"), (4, "model"), (5, "outcome"),
    ]  # fmt: skip
    assert steps[3]["body"] == {"of": str(RUN), "at": 3, "by": "dana", "edited": [2]}
    said = str(agent.model.requests[-1].messages)
    assert ("green paint" in said, '"total":99' in said, '"total":10' in said) == (True, True, False)
    assert [dict(row) for row in await record_of(operator, RUN)] == before, "the original stays as it was"
    assert len(agent.sent(topics.tool_calls("closer"))) == 1, "no call of the original is made again"
    told = await store.run(operator, made)
    assert (told["status"], told["text"], told["trigger"]["type"]) == ("finished", "done otherwise", "viox.run.forked")
    found = list(comparing.differences(before, [row for row in steps if row["kind"] != "fork"]))
    assert [one["a"]["kind"] for one in found] == ["results", "model", "outcome"]


async def test_a_fork_asks_with_another_prompt_and_of_another_model_and_replays_so(
    agents: Any, admin: Any, operator: Any
) -> None:
    agent = await agents(EARLIER, calls("a"), DONE, AssistantMessage("Aye."))
    await finished_run(agent, admin)
    changes = Changes(model="anthropic/claude-x", prompt="You are a pirate.")
    made = await forks.begin(operator, RUN, 4, changes, "dana")
    await work_on(agent, made)
    request = agent.model.requests[-1]
    assert (request.system, request.model) == ("You are a pirate.", "anthropic/claude-x")
    past = await operator.fetch(store.SQL["thread_steps"], thread_id("closer", f"fork:{made}"), "closer")
    steps = [Step(row["run_id"], row["step"], row["kind"], row["body"]) for row in past]
    report = await replay_run(CLOSER, made, steps, {})
    assert report.same, report.lines()
    assert report.steps == 6


WORDS = Question("words", "Say it nicely.", str)
PRICE = Question("price", "Name a price.", str)


def asking() -> Flow:
    """Two questions, one after the other; the second answer is how the run ends."""
    flow = Flow()
    flow.add_node("phrase", lambda work: work.ask(WORDS, about="paint"), asks=[WORDS])
    flow.add_node("price", lambda work: work.ask(PRICE, about="paint"), asks=[PRICE])
    flow.add_node("say", lambda work: work.conclude(str(work.answer(PRICE))))
    flow.add_open_loop("improvise")
    flow.begin("phrase")
    for one, following in (("phrase", "price"), ("price", "say"), ("say", END)):
        flow.add_edge(one, following)
    return flow


async def test_a_fork_asks_one_question_otherwise_and_the_others_as_before_and_replays_so(
    agents: Any, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(CLOSER, graph=asking)
    monkeypatch.setattr(world, "CLOSER", spec)
    agent = await agents(*(AssistantMessage(text) for text in ("lovely", "ten", "grand", "twenty")))
    await agent.accept(ask("paint it"))
    await agent.work()
    made = await forks.begin(operator, RUN, 1, Changes(questions={"price": "Name a higher price."}), "dana")
    await work_on(agent, made)
    *_, words, price = (request.system for request in agent.model.requests)
    assert (WORDS.prompt in words, PRICE.prompt in price, "Name a higher price." in price) == (True, False, True)
    assert (await store.run(operator, made))["text"] == "twenty"
    past = await operator.fetch(store.SQL["thread_steps"], thread_id("closer", f"fork:{made}"), "closer")
    steps = [Step(row["run_id"], row["step"], row["kind"], row["body"]) for row in past]
    report = await replay_run(spec, made, steps, {})
    assert report.same, report.lines()


def test_a_question_that_the_agent_never_asks_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="no question 'prise'") as refused:
        forks.check_questions(["price", "prise"], {"words": WORDS, "price": PRICE}, "closer")
    assert (refused.value.field, refused.value.remedy) == ("--question", "It asks words, price.")


async def test_calls_of_a_fork_are_its_own_and_the_next_message_in_it_knows_all(
    agents: Any, admin: Any, operator: Any
) -> None:
    agent = await agents(EARLIER, calls("a"), DONE, calls("b"), DONE, AssistantMessage("yes"))
    await finished_run(agent, admin)
    made = await forks.begin(operator, RUN, 1, Changes(instruction="look up the other one"), "dana")
    await work_on(agent, made)
    assert agent.sent(topics.tool_calls("closer"))[-1] == f"{made}.2.0"
    assert "look up the other one" in str(agent.model.requests[-1].messages)
    await agent.hear(admin, f"{made}.2.0", {"n": 1})
    agent.woken.append(thread_id("closer", f"fork:{made}"))
    await agent.work()
    await agent.accept(ask("and now?", conversation=f"fork:{made}", number="5"))
    await agent.work()
    said = str(agent.model.requests[-1].messages)
    assert all(text in said for text in ("green paint", "look up the other one", "and now?"))
    of_a_fork = await forks.begin(operator, made, 4, Changes(), "dana")
    past = await operator.fetch(store.SQL["thread_steps"], thread_id("closer", f"fork:{of_a_fork}"), "closer")
    assert [row["kind"] for row in past] == [
        "trigger", "model", "outcome", "trigger", "fork", "model", "results", "fork",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "changes", "code"),
    [
        (0, Changes(), "fork.no_such_step"),
        (5, Changes(), "fork.no_such_step"),
        (3, Changes(results={"9.0": 1}), "fork.no_such_result"),
        (3, Changes(instruction="x"), "fork.no_task"),
    ],
)
async def test_what_cannot_be_forked_is_said_and_leaves_nothing(
    at: int, changes: Changes, code: str, agents: Any, admin: Any, operator: Any
) -> None:
    agent = await agents(EARLIER, calls("a"), DONE)
    await finished_run(agent, admin)
    with pytest.raises(BadInput) as refused:
        await forks.begin(operator, RUN, at, changes, "dana")
    assert refused.value.code == code
    assert await admin.fetchval("select count(*) from runs") == 2


async def test_an_edited_result_without_a_field_of_the_recorded_one_is_refused_and_leaves_nothing(
    agents: Any, admin: Any, operator: Any
) -> None:
    agent = await agents(EARLIER, calls("a"), DONE)
    await finished_run(agent, admin)
    with pytest.raises(BadInput, match="total is missing"):
        await forks.begin(operator, RUN, 3, Changes(results={"1.0": {"sum": 99}}), "dana")
    assert await admin.fetchval("select count(*) from runs") == 2
    warned: list[str] = []
    made = await forks.begin(operator, RUN, 3, Changes(results={"1.0": {"total": None}}), "dana", warned.append)
    (step,) = [row for row in await record_of(operator, made) if row["kind"] == "fork"]
    assert (
        step["body"]["warnings"] == warned == ["the result of a (call 1.0): total is null, on record it is a number."]
    )


async def test_what_is_written_for_a_failed_call_is_held_against_what_the_tool_answered_others(
    agents: Any, admin: Any, operator: Any
) -> None:
    agent = await agents(EARLIER, calls("a"), DONE)
    await finished_run(agent, admin)
    await admin.execute(
        "update steps set body = replace(replace(body::text, '\"succeeded\"', '\"failed\"'), '\"error\":null',"
        ' \'"error":{"message":"gone"}\')::json where kind = \'results\''
    )
    with pytest.raises(BadInput, match="total is missing"):
        await forks.begin(operator, RUN, 3, Changes(results={"1.0": {"sum": 99}}), "dana")


def reckoning() -> Flow:
    """A rule that reads a field of what came back."""
    flow = Flow()
    flow.add_node("look", lambda work: work.call("look", "a", {}))
    flow.add_node("say", lambda work: work.conclude(f"it is {work.value('look')['total'] + 1}"))
    flow.add_open_loop("improvise")
    flow.begin("look")
    flow.add_edge("look", "say")
    flow.add_edge("say", END)
    return flow


async def test_a_rule_that_fails_on_an_edited_result_ends_the_fork_at_once_and_says_why(
    agents: Any, admin: Any, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "CLOSER", replace(CLOSER, graph=reckoning))
    agent = await agents()
    await agent.accept(ask("look it up"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", {"total": 10})
    await agent.work()
    made = await forks.begin(operator, RUN, 3, Changes(results={"1.0": {"total": None}}), "dana")
    await work_on(agent, made)
    told = await store.run(operator, made)
    assert told["status"] == "failed", "after one attempt"
    assert told["error"]["code"] == "fork.rules_failed"
    assert "the rules of say cannot work on what was edited: TypeError" in told["error"]["message"]
    assert await admin.fetchval("select count(*) from dead_letters") == 0


async def test_a_rule_that_fails_in_a_run_that_is_no_fork_is_tried_again(
    agents: Any, admin: Any, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "CLOSER", replace(CLOSER, graph=reckoning))
    agent = await agents()
    await agent.accept(ask("look it up"))
    await agent.work()
    await agent.hear(admin, f"{RUN}.1.0", {"sum": 10})
    await agent.work()
    assert (await store.run(operator, RUN))["status"] == "running", "another version may be on its way"


async def test_a_blocked_fork_goes_on_when_it_is_redriven(agents: Any, admin: Any, operator: Any) -> None:
    agent = await agents(EARLIER, calls("a"), DONE, RuntimeError("x"), RuntimeError("x"), DONE)
    await finished_run(agent, admin)
    made = await forks.begin(operator, RUN, 3, Changes(), "dana")
    while await admin.fetchval("select status from runs where run_id = $1", made) == "running":
        await admin.execute("update threads set retry_at = null")
        await work_on(agent, made)
    assert await admin.fetchval("select status from runs where run_id = $1", made) == "blocked"
    await store.redrive(
        operator, await admin.fetchval("select dead_letter_id from dead_letters where run_id = $1", made)
    )
    assert await agent.redrives.take() == 1
    await work_on(agent, made)
    assert await admin.fetchval("select status from runs where run_id = $1", made) == "finished"
