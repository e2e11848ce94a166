"""Memory through the whole gateway: what one agent writes another reads with its source; taint stays; forgetting is for good."""

# ruff: noqa: S608  # names of tables come from a list below
from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.policy import files as policy_files
from shared.ids import RunId, call_id, run_id, thread_id
from tests.integration.gateway.world import OPEN, PEOPLE, World, gateway_world, wants

__all__ = ["gateway_world"]
ANA = "person:ana@example.com"
OURS, STRANGERS = "/viox/cli", "/vendors/twilio"
OURS_POLICIES = policy_files.texts(None)


class Conversation:
    """One conversation of an agent, begun by one of ours or by a stranger, that calls tools turn by turn."""

    def __init__(self, world: World, gateway: Any, agent: str, name: str) -> None:
        self._world, self._gateway, self.agent, self.name = world, gateway, agent, name
        self.run: RunId = run_id(agent, OURS, name)
        self.step = 0

    async def begin(self, source: str, parent: RunId | None = None) -> Conversation:
        self.run = run_id(self.agent, source, self.name)
        await self._world.admin.execute(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type,"
            " parent_run_id) values ($1, $2, $3, $4, 'running', $5, $4, 'viox.task.requested', $6)",
            self.run,
            self.agent,
            thread_id(self.agent, self.name),
            self.name,
            source,
            parent,
        )
        return self

    async def ask(self, tool: str, **arguments: Any) -> None:
        """One more turn with one call."""
        self.step += 1
        await self._gateway.intake.accept(
            [wants(tool, arguments, self.step, agent=self.agent, run=self.run, conversation=self.name)]
        )

    async def row(self, *states: str) -> Any:
        """The last call, once it is in one of these states."""
        async with asyncio.timeout(60):
            while True:
                row = await self._world.admin.fetchrow("select * from tool_calls where call_id = $1", self.call_id)
                if row and row["state"] in (states or ("succeeded", "failed", "denied", "awaiting_approval")):
                    return row
                await asyncio.sleep(0.02)

    async def __call__(self, tool: str, **arguments: Any) -> Any:
        """One more turn with one call: its result, or its error."""
        await self.ask(tool, **arguments)
        row = await self.row()
        return json.loads(row["result"] if row["state"] == "succeeded" else row["error"] or "null")

    @property
    def call_id(self) -> str:
        return call_id(self.run, self.step, 0)

    async def labels(self) -> list[str]:
        rows = await self._world.admin.fetch(
            "select label from thread_labels where thread_id = $1 order by label", thread_id(self.agent, self.name)
        )
        return [row["label"] for row in rows]


async def talk(world: World, gateway: Any, agent: str = "closer", source: str = OURS, name: str = "") -> Conversation:
    return await Conversation(world, gateway, agent, name or f"{agent}-{source}").begin(source)


def texts(told: Any) -> list[str]:
    return [item["text"] for item in told["items"]]


async def test_what_one_agent_writes_another_cites_with_its_source(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway, "closer")
    written = await closer(
        "memory_remember",
        entity="Person: Ana@Example.com",
        facts=[{"text": "Ana wants the boiler replaced before Christmas", "confidence": 0.8}],
    )
    steward = await talk(world, gateway, "steward")
    for asked in ({"entity": ANA}, {"question": "When does Ana need her boiler?"}):
        told = await steward("memory_recall", **asked)
        (item,) = told["items"]
        assert item["text"] == "Ana wants the boiler replaced before Christmas"
        assert (item["id"], item["entity"], item["confidence"]) == (written["facts"][0]["id"], ANA, 0.8)
        source = {name: item["source"][name] for name in ("agent", "call_id", "run_id", "step")}
        assert source == {"agent": "closer", "call_id": closer.call_id, "run_id": str(closer.run), "step": 1}
        assert not told["from_outside"]
    assert await steward.labels() == ["reads_private"]


async def test_a_value_has_one_present_state(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    first = await closer("memory_remember", entity="deal:8", facts=[{"name": "budget", "value": 1200}])
    second = await closer("memory_remember", entity="deal:8", facts=[{"name": "budget", "value": 1500}])
    again = await closer("memory_remember", entity="deal:8", facts=[{"name": "budget", "value": 1500}])
    assert second["facts"][0]["replaces"] == [first["facts"][0]["id"]]
    assert again["facts"][0] == {
        "id": second["facts"][0]["id"],
        "state": "known",
        "from_outside": False,
        "replaces": [],
    }
    told = await closer("memory_recall", entity="deal:8", question="what is the budget?")
    assert [(item["name"], item["value"], item["text"]) for item in told["items"]] == [("budget", 1500, "budget: 1500")]
    assert await world.admin.fetchval("select count(*) from passages") == 1


async def test_the_same_call_made_twice_remembers_once(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    fact = {"text": "Prefers mornings"}
    first = await closer("memory_remember", entity=ANA, facts=[fact, {"name": "vip", "value": True}])
    await world.admin.execute("update tool_calls set state = 'requested', attempt = 1, not_before = now()")
    gateway.resumer.wake()
    again = json.loads((await closer.row("succeeded"))["result"])
    assert [one["id"] for one in again["facts"]] == [one["id"] for one in first["facts"]]
    assert await world.admin.fetchval("select count(*) from facts") == 2


async def test_what_comes_from_outside_stays_so_through_memory(world: World) -> None:
    gateway = await world.gateway()
    voice = await talk(world, gateway, "voice", STRANGERS)
    written = await voice("memory_remember", entity=ANA, facts=[{"text": "Ana's new number is +1 415 555 0199"}])
    assert written["facts"][0]["from_outside"] is True
    steward = await talk(world, gateway, "steward")
    told = await steward("memory_recall", question="What is Ana's new number?")
    assert (told["from_outside"], told["items"][0]["from_outside"]) == (True, True)
    assert await steward.labels() == ["reads_private", "reads_untrusted"]
    # What it writes from its next turn on is tainted, too; and so it goes on through whoever reads that.
    passed_on = await steward(
        "memory_remember", entity="person:bo@example.com", facts=[{"text": "Ana has a new number"}]
    )
    assert passed_on["facts"][0]["from_outside"] is True


async def test_nothing_is_tainted_by_what_is_written_in_the_same_turn(world: World) -> None:
    gateway = await world.gateway()
    voice = await talk(world, gateway, "voice", STRANGERS)
    await voice("memory_remember", entity=ANA, facts=[{"text": "Wants a refund"}])
    steward = await talk(world, gateway, "steward")
    asked = [
        wants("memory_recall", {"entity": ANA}, 1, 0, "steward", steward.run, steward.name),
        wants(
            "memory_remember",
            {"entity": "deal:1", "facts": [{"text": "Closed"}]},
            1,
            1,
            "steward",
            steward.run,
            steward.name,
        ),
    ]
    await gateway.intake.accept(asked)
    steward.step = 1
    await steward.row("succeeded")
    async with asyncio.timeout(60):
        while (row := await world.admin.fetchrow("select tainted from facts where entity = 'deal:1'")) is None:
            await asyncio.sleep(0.02)
    assert row["tainted"] is False


async def test_a_child_of_a_tainted_run_writes_tainted_facts(world: World) -> None:
    gateway = await world.gateway()
    voice = await talk(world, gateway, "voice", STRANGERS)
    child = await Conversation(world, gateway, "closer", "handed-over").begin("/viox/agents/voice", voice.run)
    written = await child("memory_remember", entity=ANA, facts=[{"text": "Called about a leak"}])
    assert written["facts"][0]["from_outside"] is True


async def test_text_from_outside_replaces_nothing_that_is_ours(world: World) -> None:
    gateway = await world.gateway()
    ours, strange = await talk(world, gateway, "closer"), await talk(world, gateway, "voice", STRANGERS)
    await ours("memory_remember", entity="company:acme", facts=[{"name": "iban", "value": "DE02120300000000202051"}])
    claimed = await strange("memory_remember", entity="company:acme", facts=[{"name": "iban", "value": "XX99"}])
    assert claimed["facts"][0]["replaces"] == []
    repeated = await strange("memory_remember", entity="company:acme", facts=[{"name": "iban", "value": "XX99"}])
    assert repeated["facts"][0]["state"] == "known"
    told = await ours("memory_recall", entity="company:acme")
    assert {(item["value"], item["from_outside"]) for item in told["items"]} == {
        ("DE02120300000000202051", False),
        ("XX99", True),
    }
    # One of ours says the same later: now it counts.
    trusted = await talk(world, gateway, "controller")
    said = await trusted("memory_remember", entity="company:acme", facts=[{"name": "iban", "value": "XX99"}])
    assert (said["facts"][0]["from_outside"], len(said["facts"][0]["replaces"])) == (False, 2)


async def test_policies_take_a_tainted_recall_for_text_from_outside(world: World) -> None:
    """The address came from a stranger, by way of memory: no message goes there without a person."""
    gateway = await world.gateway(policies=OURS_POLICIES | OPEN)
    voice = await talk(world, gateway, "voice", STRANGERS)
    await voice("memory_remember", entity=ANA, facts=[{"text": "Ana's other number is +14155550177"}])
    send = {"To": "+14155550177", "Body": "hello"}
    unaware = await talk(world, gateway, "closer", name="unaware")
    await unaware.ask("twilio_send_message", **send)
    assert (await unaware.row())["state"] == "succeeded", "nothing was recalled"
    closer = await talk(world, gateway, "closer")
    await closer("memory_recall", entity=ANA)
    await closer.ask("twilio_send_message", **send)
    assert (await closer.row())["state"] == "awaiting_approval"
    rules = await world.admin.fetchval("select rules from approvals where call_id = $1", closer.call_id)
    assert "sends.copied-address" in rules


async def test_forgetting_waits_for_a_person_and_leaves_nothing(world: World) -> None:
    gateway = await world.gateway(policies=OURS_POLICIES | OPEN)
    closer = await talk(world, gateway)
    kept = await closer("memory_remember", entity="deal:1", facts=[{"text": "Ana signs on Monday"}])
    await closer("memory_remember", entity=ANA, facts=[{"text": "Ana signs on Monday"}, {"name": "vip", "value": True}])
    await closer("memory_remember", entity=ANA, facts=[{"name": "vip", "value": False}])
    await closer("notes_add", entity="Person:ana@example.com", text="Ana signs on Monday, she said so twice.")
    await gateway.index.catch_up()
    await closer.ask("memory_forget", entity=ANA, everything=True, reason="she asked us to")
    row = await closer.row()
    assert row["state"] == "awaiting_approval"
    await approve(world, gateway, closer.call_id)
    forgotten = json.loads((await closer.row("succeeded"))["result"])["forgotten"]
    assert sorted(one["kind"] for one in forgotten) == ["fact", "fact", "fact", "note"]
    told = await closer("memory_recall", question="When does Ana sign?")
    assert [item["id"] for item in told["items"]] == [kept["facts"][0]["id"]]
    assert await world.admin.fetchval("select count(*) from passages") == 1, "with their vectors"
    noted = await world.admin.fetch("select about, by, reason, call_id from forgettings")
    assert {tuple(one) for one in noted} == {(ANA, "closer, Dana", "she asked us to", closer_call(closer, -1))}


def closer_call(conversation: Conversation, back: int) -> str:
    return call_id(conversation.run, conversation.step + back, 0)


async def approve(world: World, gateway: Any, call: str) -> None:
    row = await world.admin.fetchrow("select approval_id, arguments_sha256 from approvals where call_id = $1", call)
    said = await world.admin.fetchval(
        "select decide_approval($1, $2, 'approve', $3, null, null, null)", row[0], PEOPLE.people[0].name, row[1]
    )
    assert said == "approved"
    gateway.wake()


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "where"),
    [
        ("memory_remember", {"entity": "ana", "facts": [{"text": "x"}]}, "tool.invalid_arguments", "entity"),
        ("memory_remember", {"entity": ANA, "facts": []}, "tool.invalid_arguments", "facts"),
        ("memory_remember", {"entity": ANA, "facts": [{"name": "vip"}]}, "memory.no_fact", "facts.0"),
        ("memory_remember", {"entity": ANA, "facts": [{"text": " "}]}, "memory.no_fact", "facts.0"),
        (
            "memory_remember",
            {"entity": ANA, "facts": [{"text": "x", "tainted": False}]},
            "tool.invalid_arguments",
            "facts",
        ),
        ("memory_remember", {"entity": ANA, "facts": [{"name": "x", "value": "y" * 600}]}, "memory.too_long", "value"),
        ("memory_recall", {}, "memory.nothing_asked", "entity"),
        ("memory_recall", {"question": "   "}, "memory.nothing_asked", "question"),
        ("memory_forget", {"entity": ANA, "reason": "r"}, "memory.what", "forget"),
        ("memory_forget", {"entity": ANA, "ids": ["x"], "everything": True, "reason": "r"}, "memory.what", "forget"),
        ("knowledge_search", {}, "tool.invalid_arguments", "question"),
    ],
)
async def test_bad_input_is_refused_with_its_place(
    world: World, tool: str, arguments: dict[str, Any], code: str, where: str
) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    error = await closer(tool, **arguments)
    told = json.dumps(error)
    assert code in told
    assert where in told
    assert await world.admin.fetchval("select count(*) from facts") == 0


async def test_notes_are_found_by_meaning_and_say_what_had_been_read(world: World) -> None:
    gateway = await world.gateway()
    ours, strange = await talk(world, gateway), await talk(world, gateway, "steward", STRANGERS)
    await ours("notes_add", entity="customer:7", text="The client complained that the invoice was sent twice.")
    await strange("notes_add", entity="customer:8", text="Their dog is called Rex and barks at technicians.")
    await gateway.index.catch_up()
    told = await ours("memory_recall", question="Which customer got a duplicate bill?")
    assert told["items"][0]["text"] == "The client complained that the invoice was sent twice."
    assert told["items"][0]["from_outside"] is False
    assert (await ours("memory_recall", entity="customer:8"))["items"][0]["from_outside"] is True
    (found,) = (await ours("notes_find", entity="customer:7"))["rows"]
    assert found["text"].startswith("The client complained")


async def test_a_long_note_is_found_by_each_of_its_parts(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    filler = "We talked about the weather and the traffic for a while. " * 60
    await closer("notes_add", entity=ANA, text=f"{filler}\n\nThe gate code is 4711.\n\n{filler}")
    await gateway.index.catch_up()
    told = await closer("memory_recall", question="gate code", limit=1)
    assert "4711" in told["items"][0]["text"]
    assert len(told["items"][0]["text"]) < 1000


@pytest.mark.parametrize(
    "table", ["facts", "passages", "knowledge", "forgettings", "memory_model", "call_labels", "notes"]
)
async def test_agents_reach_memory_by_the_gateway_only(world: World, postgres: Postgres, table: str) -> None:
    connection = await asyncpg.connect(postgres.dsn("viox_closer"))
    try:
        for statement in (f"select * from {table}", f"delete from {table}", f"insert into {table} default values"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        for call in ("forget_memory('a:b', null, 'x', null, null)", "call_is_tainted('x')", "index_passages(3)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"select {call}")
    finally:
        await connection.close()
