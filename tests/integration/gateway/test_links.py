"""Which entities are one person, through the whole gateway: what is claimed is named and no more, what is confirmed is found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from sandbox.postgres import Postgres
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.store import CatalogueStore
from services.tool_gateway.policy import files as policy_files
from shared.errors import Conflict
from shared.ids import call_id
from shared.operations import links
from shared.people import Person
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.test_memory import STRANGERS, Conversation, talk, texts
from tests.integration.gateway.world import PEOPLE, World, gateway_world

__all__ = ["gateway_world"]
ANA, NUMBER, EVE = "person:ana@example.com", "phone:+14155550123", "phone:+14155550666"
POLICIES = policy_files.texts(None)
DANA: Person = PEOPLE.people[0]
BOTH = {"email": "ana@example.com", "phone": "+14155550123"}


@pytest.fixture
async def operator_pool(postgres: Postgres, admin: Any) -> AsyncIterator[Pool]:
    made = await open_pool(postgres.dsn("viox_operator_cli"), application="test")
    yield made
    await made.close()


class Rules:
    """A role's rules: the turns of a conversation are plans, and what they looked up is on record."""

    def __init__(self, world: World, conversation: Conversation) -> None:
        self.world, self.conversation = world, conversation

    async def __call__(self, tool: str, kind: str = "plan", **arguments: Any) -> Any:
        one = self.conversation
        await self.world.admin.execute(
            "insert into steps (agent, run_id, step, thread_id, seq, kind, body)"
            " select $1, $2, $3::int, thread_id, $3::int, $4, '{}' from runs where run_id = $2",
            one.agent,
            one.run,
            one.step + 1,
            kind,
        )
        return await one(tool, **arguments)

    async def looked_up(self, tool: str, arguments: dict[str, Any], result: Any, **more: Any) -> str:
        """A look-up that was made, with what it brought."""
        one = self.conversation
        one.step += 1
        row = {"agent": one.agent, "state": "succeeded", "attempt": 1, "age": "0 seconds"} | more
        await self.world.admin.execute(
            "insert into tool_calls (call_id, run_id, step, idx, agent, thread_id, conversation_id, tool, effect, state, attempt,"
            " arguments, arguments_sha256, result, closed_at) select $1, $2, $3, 0, $4, thread_id, $5, $6, 'read', $7, $8, $9, '',"
            " $10, clock_timestamp() - $11::text::interval from runs where run_id = $2",
            call_id(one.run, one.step, 0),
            one.run,
            one.step,
            row["agent"],
            one.name,
            tool,
            row["state"],
            row["attempt"],
            json.dumps(arguments),
            json.dumps(result),
            row["age"],
        )
        return call_id(one.run, one.step, 0)

    async def proof(self, how: str = "CRM_UI", found: tuple[str, ...] = ("7",), **more: Any) -> dict[str, str]:
        """The two look-ups: the contact with who set what, and whose the number is."""
        history = {name: [{"value": given, "sourceType": how, "timestamp": "x"}] for name, given in BOTH.items()}
        contact = {"id": "7", "properties": BOTH, "propertiesWithHistory": history}
        filters = [{"propertyName": "phone", "operator": "EQ", "value": "+14155550123"}]
        search = {"filterGroups": [{"filters": filters}], "limit": 2}
        rows = {"results": [{"id": one} for one in found]}
        return {
            "contact_call": await self.looked_up("hubspot_get_contact", {"contactId": "7"}, contact, **more),
            "number_call": await self.looked_up("hubspot_search_contacts", search, rows),
        }


async def rules(world: World, gateway: Any, agent: str = "voice", name: str = "") -> Rules:
    return Rules(world, await talk(world, gateway, agent, STRANGERS, name or f"{agent} of a stranger"))


async def remember(world: World, gateway: Any) -> None:
    """Something of the number, something of the address."""
    ours = await talk(world, gateway, "operator", name="before")
    await ours("memory_remember", entity=NUMBER, facts=[{"text": "The boiler stands behind the green door"}])
    await ours("memory_remember", entity=ANA, facts=[{"text": "Pays on the first of the month"}])


async def recalled(world: World, gateway: Any, entity: str, **more: Any) -> Any:
    steward = await talk(world, gateway, "steward", name=f"recall {uuid4()}")
    return await steward("memory_recall", entity=entity, **more)


async def test_what_is_only_claimed_is_named_and_brings_nothing(world: World) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    voice = await rules(world, gateway)
    told = await voice("memory_link", entity=NUMBER, other=ANA, basis="said on the phone")
    assert (told["state"], told["new"], told["basis"]) == ("claimed", True, "said on the phone")
    for one, other in ((ANA, NUMBER), (NUMBER, ANA)):
        for question in ({}, {"question": "Where does the boiler stand, and when do they pay?"}):
            found = await recalled(world, gateway, one, **question)
            assert {item["entity"] for item in found["items"]} == {one}
            (named,) = found["same_as"]
            assert (named["entity"], named["state"], named["from_outside"]) == (other, "claimed", True)
            assert named["note"] == "may be the same person; not confirmed"
            assert found["from_outside"], "a stranger may have wanted it to be believed"
    assert (await voice("memory_link", entity=ANA, other=NUMBER, basis="again"))["new"] is False


async def test_the_crm_s_own_record_confirms_and_each_finds_what_the_other_has(world: World) -> None:
    gateway = await world.gateway(policies=POLICIES)
    await remember(world, gateway)
    voice = await rules(world, gateway)
    told = await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof())
    assert (told["state"], told["basis"]) == ("confirmed", "HubSpot contact 7")
    for one in (ANA, NUMBER):
        for question in ({}, {"question": "Where does the boiler stand, and when do they pay?"}):
            found = await recalled(world, gateway, one, **question)
            assert {(item["entity"], item["text"]) for item in found["items"]} == {
                (NUMBER, "The boiler stands behind the green door"),
                (ANA, "Pays on the first of the month"),
            }
            assert [(other["state"], other["from_outside"]) for other in found["same_as"]] == [("confirmed", False)]
            assert not found["from_outside"], "nothing in it is a stranger's"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"how": "INTEGRATION"}, "nobody of the business typed"),
        ({"how": "FORM"}, "nobody of the business typed"),
        ({"found": ("7", "8")}, "other contacts have the number"),
        ({"agent": "closer"}, "no contact was read"),
        ({"state": "failed"}, "no contact was read"),
        ({"attempt": 0}, "no contact was read"),
        ({"age": "2 hours"}, "no contact was read"),
    ],
    ids=["ours", "form", "shared", "another agent's", "failed", "a person's answer", "old"],
)
async def test_what_proves_nothing_leaves_it_claimed(world: World, changes: dict[str, Any], why: str) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    voice = await rules(world, gateway)
    told = await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof(**changes))
    assert told["state"] == "claimed"
    assert why in told["why"]
    assert texts(await recalled(world, gateway, ANA)) == ["Pays on the first of the month"]


async def test_a_stranger_s_form_with_ana_s_address_and_their_own_number_tells_them_nothing(world: World) -> None:
    """Closer enters what the form says in the CRM. Whoever calls from that number afterwards is found there, and is not Ana."""
    gateway = await world.gateway()
    await remember(world, gateway)
    voice = await rules(world, gateway)
    proof = await voice.proof()
    contact = await world.admin.fetchval("select result from tool_calls where call_id = $1", proof["contact_call"])
    forged = json.loads(contact.replace("+14155550123", "+14155550666"))
    forged["propertiesWithHistory"]["phone"][0]["sourceType"] = "INTEGRATION"
    read = await voice.looked_up("hubspot_get_contact", {"contactId": "7"}, forged)
    told = await voice("memory_link", entity=EVE, other=ANA, contact_call=read, number_call=proof["number_call"])
    assert told["state"] == "claimed"
    assert texts(await recalled(world, gateway, EVE)) == []


@pytest.mark.parametrize("agent", ["voice", "steward"])
async def test_a_model_s_turn_may_not_link_whatever_it_was_talked_into(world: World, agent: str) -> None:
    gateway = await world.gateway(policies=POLICIES)
    await remember(world, gateway)
    injected = await rules(world, gateway, agent)
    proof = await injected.proof()
    for kind in ("model", "note"):
        told = await injected("memory_link", kind, entity=NUMBER, other=ANA, **proof)
        assert told["code"] == "policy.denied", told
    assert (await injected.conversation("memory_link", entity=NUMBER, other=ANA))["code"] == "policy.denied", "no step"
    assert await world.admin.fetchval("select count(*) from person_links") == 0
    assert texts(await recalled(world, gateway, ANA)) == ["Pays on the first of the month"]
    assert (await injected("memory_link", "plan", entity=NUMBER, other=ANA, **proof))["state"] == "confirmed"


async def test_no_model_is_shown_it_and_no_other_agent_has_it(world: World) -> None:
    gateway = await world.gateway(policies=POLICIES)
    operator = await rules(world, gateway, "operator")
    assert (await operator("memory_link", entity=NUMBER, other=ANA))["code"] == "tool.not_granted"
    await CatalogueStore(world.pool).publish(catalogue.load())
    row = await world.admin.fetchrow("select granted_to, ruled_by from catalogue where tool = 'memory_link'")
    assert (row["granted_to"], row["ruled_by"]) == ([], ["closer", "steward", "voice"]), (
        "models are shown what is granted"
    )


async def test_a_person_s_word_stands_above_the_record(world: World, operator_pool: Any) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    voice = await rules(world, gateway)
    await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof())
    await links.say(operator_pool, ANA, NUMBER, "denied", DANA, "Ana's mother has it now")
    told = await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof())
    assert (told["state"], told["said_by"], told["new"]) == ("denied", "Dana", False)
    found = await recalled(world, gateway, ANA)
    assert (texts(found), found["same_as"]) == (["Pays on the first of the month"], [])
    await links.say(operator_pool, ANA, NUMBER, "confirmed", DANA, "It was a mistake")
    assert len(texts(await recalled(world, gateway, ANA))) == 2
    states = [(one["state"], one["ended_because"]) for one in await links.links_of(operator_pool, ANA)]
    assert states == [("confirmed", None), ("denied", "confirmed by Dana"), ("confirmed", "denied by Dana")]
    assert await world.admin.fetchval("select count(*) from audit_acts where act = 'memory.linked'") == 2
    told = await world.admin.fetchval("select string_agg(detail::text, '') from audit_acts where act = 'memory.linked'")
    assert "ana@example.com" not in told, "what stays for good names nobody"


async def test_a_number_that_is_somebody_else_s_already_is_only_claimed(world: World, operator_pool: Any) -> None:
    gateway = await world.gateway()
    await links.say(operator_pool, "person:leo@example.com", NUMBER, "confirmed", DANA, "Leo said so")
    voice = await rules(world, gateway)
    told = await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof())
    assert (told["state"], told["why"]) == ("claimed", "the number is confirmed to be that of person:leo@example.com")


async def test_a_number_of_the_same_person_under_another_address_is_theirs(world: World, operator_pool: Any) -> None:
    gateway = await world.gateway()
    work = "person:ana@work.example"
    await links.say(operator_pool, work, NUMBER, "confirmed", DANA, "hers")
    await links.say(operator_pool, work, ANA, "confirmed", DANA, "both are hers")
    voice = await rules(world, gateway)
    assert (await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof()))["state"] == "confirmed"


async def test_a_contact_that_got_another_number_ends_the_link_to_the_old_one(world: World) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    voice = await rules(world, gateway)
    old = "phone:+14155550111"
    await world.admin.execute(
        "insert into person_links (entity, other, state, basis, contact, tainted, said_by, is_person, source_call)"
        " values ($1, $2, 'confirmed', 'HubSpot contact 7', '7', false, 'voice', false, 'c')",
        ANA,
        old,
    )
    await voice("memory_link", entity=NUMBER, other=ANA, **await voice.proof())
    found = await recalled(world, gateway, ANA)
    assert [one["entity"] for one in found["same_as"]] == [NUMBER]


async def test_what_is_one_by_way_of_a_third_is_found_and_never_more_than_eight(
    world: World, operator_pool: Any
) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    await links.say(operator_pool, ANA, "person:ana@work.example", "confirmed", DANA, "both are hers")
    await links.say(operator_pool, "person:ana@work.example", NUMBER, "confirmed", DANA, "and so is the number")
    assert len(texts(await recalled(world, gateway, ANA))) == 2
    for number in range(5):
        await links.say(operator_pool, ANA, f"person:{number}@example.com", "confirmed", DANA, "hers")
    with pytest.raises(Conflict, match="more than eight"):
        await links.say(operator_pool, NUMBER, "person:one.more@example.com", "confirmed", DANA, "hers")
    assert len(await links.connected(operator_pool, ANA)) == 7


async def test_an_agent_links_an_address_and_a_number_and_nothing_else(world: World) -> None:
    gateway = await world.gateway()
    voice = await rules(world, gateway)
    for other in ("person:send everything to me", "company:acme", "person:leo@example.com"):
        assert (await voice("memory_link", entity=ANA, other=other))["code"] == "memory.no_pair"


async def test_everything_forgotten_of_somebody_takes_their_links_along(world: World, operator_pool: Any) -> None:
    gateway = await world.gateway()
    await remember(world, gateway)
    await links.say(operator_pool, ANA, NUMBER, "confirmed", DANA, "hers")
    operator = await talk(world, gateway, "operator", name="forgets")
    told = await operator("memory_forget", entity=NUMBER, everything=True, reason="asked")
    assert told["left"] == [{"entity": ANA, "state": "confirmed"}], "it is left, and not silently"
    found = await recalled(world, gateway, ANA)
    assert (texts(found), found["same_as"]) == (["Pays on the first of the month"], [])
    kinds = await world.admin.fetch("select kind from forgettings order by kind")
    assert [row["kind"] for row in kinds] == ["fact", "link"]
