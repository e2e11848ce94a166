"""Answers that are too large to travel: kept once, referred to, read on by the agent that was given them and nobody else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.tool_gateway.call import payloads
from shared.bus import topics
from shared.ids import call_id, run_id, thread_id
from shared.models.port import AssistantMessage, ModelToolCall
from tests.integration.gateway.test_large_answers import endless
from tests.integration.gateway.world import RESULTS, RUN, Gateway, World, gateway_world, until, wants
from tests.integration.runtime.conftest import agents
from tests.integration.runtime.test_redrive import replay
from tests.integration.runtime.world import DONE, Agent, ask, record

__all__ = ["agents", "endless", "gateway_world"]
ROWS = {"results": [{"id": str(n), "properties": {"email": f"ü{n}@example.com", "pad": "x" * 60}} for n in range(4000)]}
BODY = orjson.dumps(ROWS)
SEARCH = {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "HAS_PROPERTY"}]}]}


async def given(world: World, gateway: Gateway, step: int = 1) -> dict[str, Any]:
    """The reference that a search for all contacts is answered with."""
    await gateway.intake.accept([wants("hubspot_search_contacts", SEARCH, step)])
    row = await world.state("succeeded", step)
    found: dict[str, Any] = orjson.loads(row["result"])["$payload"]
    return found


async def asked(world: World, gateway: Gateway, step: int, agent: str = "closer", **arguments: Any) -> Any:
    """How a call of payload_read ended."""
    run = RUN if agent == "closer" else run_id(agent, "/t", "1")
    await gateway.intake.accept([wants("payload_read", arguments, step, agent=agent, run=run)])
    row = None
    while row is None or row["state"] not in ("succeeded", "failed", "denied"):
        await gateway.outcomes.drain(10)
        row = await world.admin.fetchrow("select * from tool_calls where call_id = $1", call_id(run, step, 0))
    return row


async def run_of(world: World, agent: str, parent: Any = None, run: Any = None) -> None:
    await world.admin.execute(
        "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
        " parent_run_id) values ($1, $2, $3, 'c', 'running', '/t', '1', 'viox.task.requested', $4)",
        run or run_id(agent, "/t", "1"),
        agent,
        thread_id(agent, "c"),
        parent,
    )


@pytest.fixture
async def gateway(world: World, endless: dict[str, Any]) -> Gateway:
    endless["status"], endless["body"] = 200, BODY
    return await world.gateway("outcomes", "resumer")


async def test_an_answer_of_400_kb_is_referred_to_and_read_on(world: World, gateway: Gateway) -> None:
    told = await given(world, gateway)
    assert told["bytes"] > 400_000
    assert told["outline"]["$.results"] == "list of 4000"
    (message,) = gateway.publisher.sent(RESULTS)
    assert len(orjson.dumps(message.data)) < 10_000, "what travels is the reference"

    text, step = "", 2
    at: int | None = 0
    while at is not None:
        part = orjson.loads((await asked(world, gateway, step, id=told["id"], offset=at, length=40_000))["result"])
        text, at, step = text + part["text"], part["next_offset"], step + 1
    assert [row["id"] for row in orjson.loads(text)["results"]] == [row["id"] for row in ROWS["results"]]


async def test_what_stands_at_a_json_path_is_read_alone(world: World, gateway: Gateway) -> None:
    told = await given(world, gateway)
    one = orjson.loads(
        (await asked(world, gateway, 2, id=told["id"], path="$.results[3999].properties.email"))["result"]
    )
    assert one["value"] == "ü3999@example.com"
    many = orjson.loads((await asked(world, gateway, 3, id=told["id"], path="$.results", length=100))["result"])
    assert (many["outline"]["$"], len(many["text"].encode()), many["next_offset"]) == ("list of 4000", 100, 100)
    typo = await asked(world, gateway, 4, id=told["id"], path="$.result")
    assert typo["state"] == "failed"
    assert "nothing stands at" in typo["error"]


async def test_nobody_else_reads_it(world: World, gateway: Gateway) -> None:
    told = await given(world, gateway)
    await run_of(world, "steward", parent=RUN)  # who says that closer started it is not given what closer has
    row = await asked(world, gateway, 1, "steward", id=told["id"])
    assert (row["state"], row["result"]) == ("failed", None)
    assert "there is no payload" in row["error"]


async def test_a_run_reads_what_the_runs_it_started_were_given(world: World, gateway: Gateway) -> None:
    boss = run_id("steward", "/t", "1")
    await world.admin.execute("update runs set parent_run_id = $1", boss)
    await run_of(world, "steward")
    told = await given(world, gateway)
    row = await asked(world, gateway, 1, "steward", id=told["id"], path="$.results[0].id")
    assert orjson.loads(row["result"])["value"] == "0"


async def test_a_row_under_anothers_run_id_opens_nothing(world: World, gateway: Gateway) -> None:
    """An agent may write rows of its own under any run id: here under that of the run between."""
    between = run_id("voice", "/t", "1")
    await world.admin.execute("update runs set parent_run_id = $1", between)
    await run_of(world, "steward")
    await run_of(world, "steward", parent=run_id("steward", "/t", "1"), run=between)
    told = await given(world, gateway)
    assert (await asked(world, gateway, 1, "steward", id=told["id"]))["state"] == "failed"


async def test_equal_answers_are_kept_once_and_forgotten_when_nobody_was_given_them_for_long(
    world: World, gateway: Gateway
) -> None:
    first, second = await given(world, gateway), await given(world, gateway, 2)
    assert first["id"] != second["id"]
    assert await world.admin.fetchval("select count(*) from payloads") == 1
    assert await payloads.forget(world.pool, days=1) == 0
    await world.admin.execute("update payloads set used_at = now() - interval '2 days'")
    assert await payloads.forget(world.pool, days=1) == 1
    row = await asked(world, gateway, 3, id=first["id"])
    assert "not kept any more" in row["error"]
    kept = await world.admin.fetchval(
        "select response_body from ledger_entries where call_id = $1 and phase = 'outcome'", call_id(RUN, 1, 0)
    )
    assert kept == BODY, "the ledger has the vendor's bytes for good"


async def test_a_run_that_reads_on_is_replayed_from_the_record_alone(
    world: World, gateway: Gateway, agents: Any
) -> None:
    """The reference and the part that was read are on record; the payload itself may be gone by then."""
    await world.admin.execute("delete from runs")
    agent = await agents(turn("hubspot_search_contacts", SEARCH))
    await agent.accept(ask("who is last?"))
    await agent.work()
    found = (await answered(agent, gateway, 1))["$payload"]

    agent.model.turns = [turn("payload_read", {"id": found["id"], "path": "$.results[3999].id"})]
    await agent.work()
    assert (await answered(agent, gateway, 2))["value"] == "3999"
    agent.model.turns = [DONE]
    await agent.work()

    assert await world.admin.fetchval("select max(length(body::text)) from steps") < 20_000
    await world.admin.execute("delete from payloads")
    report = await replay(world.admin)
    assert report.same, report.lines()
    assert (report.model_requests, report.calls) == (3, 2)


def turn(tool: str, arguments: dict[str, Any]) -> AssistantMessage:
    return AssistantMessage("", (ModelToolCall("id", tool, arguments),))


async def answered(agent: Agent, gateway: Gateway, times: int) -> Any:
    """The result of the call that the agent sent last, once it has arrived there."""
    message = agent.publisher.sent(topics.tool_calls("closer"))[-1]
    await gateway.intake.accept([record(topics.tool_calls("closer"), message, times)])
    await until(lambda: len(gateway.publisher.sent(RESULTS)) >= times)
    told = gateway.publisher.sent(RESULTS)[-1]
    await agent.accept((RESULTS, told))
    return told.data["result"]
