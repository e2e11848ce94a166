"""A run is one trace, in whatever process it goes on; what is replayed is not traced again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.bus import topics
from shared.operations import store as operations
from shared.runtime.replay import replay_run
from shared.store.pool import Pool
from shared.telemetry.trace import derived_trace_id, span_of_call, span_of_run
from tests.integration.runtime.test_redrive import FAILS, redrive
from tests.integration.runtime.world import CLOSER, DONE, LIMITS, RUN, Agent, ask, calls, keep_trying, statuses
from tests.unit.traces.collecting import collecting

GIVEN = f"00-{'a' * 32}-{'b' * 16}-01"
ROOT = span_of_run(RUN)


def traceparents(agent: Agent, topic: str) -> list[str | None]:
    return [message.traceparent for to, message in agent.publisher.messages if to == topic]


async def test_a_run_goes_on_in_its_trace_after_a_restart(agents: Any, admin: Any) -> None:
    trace = derived_trace_id("/t", "1")
    with collecting() as found:
        first = await agents(calls("a"))
        await first.accept(ask("x"))
        await first.work()
        second = await agents(DONE)  # another process: nothing of the first is in its memory
        await second.hear(admin, f"{RUN}.1.0", {"found": 42})
        await second.work()
    assert await statuses(admin) == {"1": "finished"}
    assert {span.context.trace_id for span in found} == {trace}
    assert [span.name for span in found] == [
        f"process {topics.tasks('closer')}",
        "activate closer",
        "invoke_agent closer",
        "activate closer",
    ]
    arrived, before, run, after = found
    assert (run.context.span_id, run.parent_id) == (ROOT, None)
    assert arrived.parent_id == before.parent_id == after.parent_id == ROOT
    assert [link.span_id for link in after.links] == [span_of_call(f"{RUN}.1.0")]
    assert run.began_ns <= before.began_ns <= before.ended_ns <= after.began_ns <= run.ended_ns
    assert traceparents(first, topics.tool_calls("closer")) == [f"00-{trace}-{ROOT}-01"]


async def test_what_comes_with_a_trace_stays_in_it(agents: Any, admin: Any) -> None:
    agent = await agents(DONE)
    topic, message = ask("x")
    with collecting() as found:
        await agent.accept((topic, replace(message, traceparent=GIVEN)))
        await agent.work()
    run = next(span for span in found if span.name == "invoke_agent closer")
    assert (run.context.trace_id, run.context.span_id, run.parent_id) == ("a" * 32, ROOT, "b" * 16)
    assert await admin.fetchval("select traceparent from runs") == GIVEN


async def test_a_run_has_its_trace_on_record_while_nothing_is_traced(agents: Any, admin: Any, operator: Pool) -> None:
    agent = await agents(calls("a"), DONE)
    await agent.accept(ask("x"))
    await agent.work()
    trace = derived_trace_id("/t", "1")
    assert await operations.trace_of(operator, RUN, "closer") == trace
    assert traceparents(agent, topics.tool_calls("closer")) == [f"00-{trace}-{ROOT}-00"]
    with collecting() as found:  # switched on meanwhile: what began without it is not sampled
        await agent.hear(admin, f"{RUN}.1.0", {})
        await agent.work()
    assert await statuses(admin) == {"1": "finished"}
    assert found == []


async def test_a_redriven_run_ends_again_in_the_same_trace_and_its_replay_is_not_traced(
    agents: Any, admin: Any, operator: Pool
) -> None:
    with collecting() as found:
        agent = await agents(calls("a"), *FAILS)
        await agent.accept(ask("x"))
        await agent.work()
        await agent.hear(admin, f"{RUN}.1.0", {})
        await keep_trying(agent, admin, LIMITS.max_attempts + 1)
        assert await statuses(admin) == {"1": "blocked"}
        agent.model.turns = [DONE]
        await redrive(agent, admin, operator)
        await agent.work()
        assert await statuses(admin) == {"1": "finished"}
        ends = [span for span in found if span.name == "invoke_agent closer"]
        assert [(end.error, end.attributes["viox.run.status"]) for end in ends] == [
            ("message.poison", "blocked"),
            (None, "finished"),
        ]
        assert (ends[0].context.span_id, ends[1].parent_id) == (ROOT, ROOT)
        assert ends[1].context.span_id != ROOT
        failed = [span.error for span in found if span.name == "activate closer" and span.error]
        assert failed == ["RuntimeError"] * LIMITS.max_attempts
        assert len({span.context.trace_id for span in found}) == 1

        seen = len(found)
        steps = await agent.store.steps(await admin.fetchval("select thread_id from threads"))
        rows = await admin.fetch("select sha256, body from prompts")
        report = await replay_run(CLOSER, RUN, steps, {row["sha256"]: row["body"] for row in rows})
        assert report.steps
        assert len(found) == seen
