"""Voice, Steward and Closer know one person by address and number: where that is confirmed, each has what the others learned; where
it is only claimed, nobody does. Look-ups and proof are the gateway's own rules, on what an office answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.memory.proof import LookUp, pair_of, proof_of
from services.voice import domain
from tests.unit.agents.driving import Scripted
from tests.unit.agents.front_office import Desk, Office
from tests.unit.agents.test_closer import LEAD, said
from tests.unit.agents.test_voice import OPEN, talk

ANA, NUMBER = "person:ana@x.co", "phone:+14155550123"
CONTACT = {"email": "ana@x.co", "firstname": "Ana", "lastname": "Lopez", "phone": "+14155550123"}
DOOR, FIRST = "The boiler stands in the cellar behind the green door", "Pays on the first of the month"
QUESTION = {
    "ticket_id": "T-1",
    "subject": "The boiler",
    "body": "Behind which door does the boiler stand in the cellar?",
    "customer_email": "ana@x.co",
}


class Linked(Office):
    """An office whose memory knows who is the same person. `how`: in which way the CRM got its values, but those that agents set."""

    def __init__(self, *contacts: dict[str, str], how: str = "CRM_UI") -> None:
        super().__init__(*contacts)
        self.how, self.since = how, "2026-11-01T09:00:00Z"
        self.ours: set[tuple[str, str]] = set()  # id of a contact and name of a property that an agent set
        self.links: dict[frozenset[str], str] = {}
        self.seen: dict[str, LookUp] = {}
        self.memory[NUMBER] = [fact(NUMBER, DOOR)]
        self.memory[ANA] = [fact(ANA, FIRST)]

    def __call__(self, call: dict[str, Any]) -> Any:
        found = super().__call__(call)
        self.seen[call["call_id"]] = LookUp(call["tool"], call["arguments"], found)
        return found

    def _hubspot_create_contact(self, given: dict[str, Any]) -> Any:
        made = super()._hubspot_create_contact(given)
        self.ours |= {(made["id"], name) for name in given["properties"]}
        return made

    def _hubspot_update_contact(self, given: dict[str, Any]) -> Any:
        self.ours |= {(given["contactId"], name) for name in given["properties"]}
        return super()._hubspot_update_contact(given)

    def _contact(self, key: str) -> dict[str, Any]:
        found = super()._contact(key)
        how = {name: "INTEGRATION" if (key, name) in self.ours else self.how for name in found["properties"]}
        past = {
            name: [{"value": given, "sourceType": how[name], "timestamp": "x"}]
            for name, given in found["properties"].items()
        }
        return found | {"propertiesWithHistory": past}

    def _memory_recall(self, given: dict[str, Any]) -> Any:
        entity = given["entity"]
        others = {one: state for pair, state in self.links.items() if entity in pair for one in pair - {entity}}
        same = [entity, *(one for one, state in others.items() if state == "confirmed")]
        named = [{"entity": one, "state": state, "since": self.since} for one, state in others.items()]
        return {"items": [item for one in same for item in self.memory.get(one, [])], "same_as": named}

    def _memory_link(self, given: dict[str, Any]) -> Any:
        pair, key = pair_of(given["entity"], given["other"]), frozenset((given["entity"], given["other"]))
        assert pair is not None
        proof = proof_of(
            pair, self.seen.get(given.get("contact_call", "")), self.seen.get(given.get("number_call", ""))
        )
        before, self.links[key] = self.links.get(key), "confirmed" if proof.holds else "claimed"
        return {"state": self.links[key], "new": self.links[key] != before}


def fact(entity: str, text: str) -> dict[str, Any]:
    return {
        "id": text,
        "kind": "fact",
        "entity": entity,
        "text": text,
        "from_outside": False,
        "source": {"agent": "voice"},
    }


@pytest.fixture(autouse=True)
def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "TERMS", OPEN)


async def missed(office: Office) -> Desk:
    desk = Desk("voice", office)
    call = {"CallSid": "CA1", "CallStatus": "no-answer", "Direction": "inbound"}
    await desk.comes("com.twilio.call.completed", call | {"From": "+14155550123", "To": "+15005550006"})
    assert await desk.replayed() == []
    return desk


def what_voice_says_it_knows(desk: Desk) -> str:
    (made,) = desk.office.arguments("elevenlabs_call")
    return str(made["conversation_initiation_client_data"]["dynamic_variables"]["known"])


async def answered(office: Office) -> list[str]:
    desk = Desk("steward", office)
    await desk.comes("viox.ticket.created", QUESTION)
    assert await desk.replayed() == []
    return [one["text"] for one in office.arguments("email_send")]


def known_to(desk: Desk, question: str) -> list[str]:
    """What the model was shown as known in its last question of a name."""
    text = next(one for one in reversed(desk.asked()) if f'name="{question}"' in one)
    found = text.partition('<known from="outside">')[2].partition("</known>")[0]
    return list(json.loads(found))


async def test_voice_knows_on_the_phone_what_is_known_of_their_address() -> None:
    desk = await missed(Linked(CONTACT))
    assert what_voice_says_it_knows(desk) == f"{DOOR} {FIRST}"


async def test_steward_answers_a_mail_with_what_was_said_on_the_phone() -> None:
    (mail,) = await answered(Linked(CONTACT))
    assert "behind the green door" in mail


async def test_closer_writes_to_a_number_with_what_is_known_of_the_address() -> None:
    desk = Desk("closer", Linked(CONTACT))
    await desk.comes("viox.lead.created", LEAD)
    assert sorted(known_to(desk, "interest")) == [FIRST, DOOR]
    await desk.texted("Hm, which day do I pay?")
    assert sorted(known_to(desk, "answer")) == [FIRST, DOOR]
    assert await desk.replayed() == []


@pytest.mark.parametrize("how", ["INTEGRATION", "FORM", "IMPORT"])
async def test_what_is_only_claimed_reaches_none_of_them(how: str) -> None:
    office = Linked(CONTACT, how=how)
    assert what_voice_says_it_knows(await missed(office)) == DOOR
    assert office.links == {frozenset((ANA, NUMBER)): "claimed"}
    assert not any("green door" in one for one in await answered(Linked(CONTACT, how=how)))
    desk = Desk("closer", Linked(CONTACT, how=how))
    await desk.comes("viox.lead.created", LEAD)
    await desk.texted("Hm, which day do I pay?")
    assert known_to(desk, "interest") == [], "either of the two may be somebody else's"
    assert known_to(desk, "answer") == [DOOR], "which goes to the number"


async def test_a_form_with_ana_s_address_and_another_number_is_told_nothing_of_ana() -> None:
    """The business knows Ana. A stranger gives her address and a number of their own, and writes from there."""
    office = Linked({**CONTACT, "phone": ""})
    desk = Desk("closer", office)
    await desk.comes("viox.lead.created", LEAD | {"phone": "+14155550666"})
    assert known_to(desk, "interest") == []
    await desk.texted("What do you know of me?", "+14155550666")
    assert known_to(desk, "answer") == []
    caller = Desk("voice", office)
    await caller.comes("com.twilio.message.received", {"From": "+14155550666", "To": "+15005550006", "Body": "Well?"})
    assert FIRST not in "".join(caller.asked())
    assert office.links == {frozenset((ANA, "phone:+14155550666")): "claimed"}, "Closer wrote the number itself"


async def test_a_lead_from_before_memory_knew_of_it_is_told_nothing_of_an_address_that_is_only_claimed() -> None:
    office = Linked({**CONTACT, "phone": ""})
    office.answers["memory_recall"] = {"items": []}
    desk = Desk("closer", office)
    await desk.comes("viox.lead.created", LEAD | {"phone": "+14155550666"})
    del office.answers["memory_recall"]
    await desk.texted("What do you know of me?", "+14155550666")
    assert office.arguments("memory_recall")[-1] == {"entity": ANA}, "as it was asked before"
    assert known_to(desk, "answer") == []


async def test_a_form_with_ana_s_number_and_another_address_is_told_nothing_of_ana() -> None:
    """The number takes no texts, so that what is written goes to the stranger's address."""
    office = Linked(CONTACT)
    office.answers["twilio_lookup_number"] = {"valid": False}
    desk = Desk("closer", office)
    await desk.comes("viox.lead.created", LEAD | {"email": "eve@x.co"})
    assert office.arguments("email_send")[0]["to"] == ["eve@x.co"]
    assert known_to(desk, "interest") == []
    assert DOOR not in "".join(desk.asked())


async def test_what_they_say_themselves_on_the_phone_is_a_claim() -> None:
    office = Linked()
    desk = Desk("voice", office)
    await desk.comes("com.elevenlabs.post_call_transcription", talk("It is ana@x.co here, what do you know of me?"))
    assert office.links == {frozenset((ANA, NUMBER)): "claimed"}
    (claim,) = office.arguments("memory_link")
    assert claim["basis"] == "said on the phone"


async def test_a_contact_that_people_type_in_is_one_person_at_once() -> None:
    office = Linked(CONTACT)
    desk = Desk("closer", office)
    await desk.comes("com.hubspot.contact.creation", {"objectId": 1})
    assert office.links == {frozenset((ANA, NUMBER)): "confirmed"}
    assert await desk.replayed() == []


async def test_whom_a_person_has_confirmed_voice_hands_on_with_their_address() -> None:
    office = Linked()
    office.memory[NUMBER].append(fact(NUMBER, "The number of eve@x.co") | {"name": "email", "value": "eve@x.co"})
    for state, email in (("claimed", "eve@x.co"), ("confirmed", "ana@x.co")):
        office.links = {frozenset((ANA, NUMBER)): state}
        await Desk("voice", office).texted("Hi, I have a problem with my order")
        assert office.arguments("task_delegate")[-1]["context"]["ticket"]["customer_email"] == email


async def test_it_is_looked_up_once_and_no_more_when_it_is_known() -> None:
    office = Linked(CONTACT)
    await missed(office)
    before = len(office.arguments("hubspot_get_contact"))
    await answered(office)
    assert (before, len(office.arguments("hubspot_get_contact"))) == (1, 1)
    assert len(office.arguments("memory_link")) == 1


async def test_what_proved_nothing_is_looked_at_again_the_next_day() -> None:
    office = Linked(CONTACT, how="FORM")
    await missed(office)
    office.since = "2026-11-20T14:00:00Z"
    await answered(office)
    assert len(office.arguments("memory_link")) == 1
    office.since, office.how = "2026-11-19T14:00:00Z", "CRM_UI"
    assert any("green door" in one for one in await answered(office))


async def test_a_number_of_two_contacts_is_nobody_s_alone() -> None:
    office = Linked(CONTACT, {"email": "leo@x.co", "phone": "+14155550123"})
    assert not any("green door" in one for one in await answered(office))
    assert office.links == {frozenset((ANA, NUMBER)): "claimed"}


@pytest.mark.parametrize("agent", ["voice", "steward", "closer"])
async def test_a_record_from_before_memory_knew_of_it_is_replayed_as_it_was(agent: str) -> None:
    office = Office(CONTACT)
    desk = Desk(
        agent,
        office,
        Scripted(*(said(intent="buy", subject="a roof") for _ in range(9))) if agent == "closer" else None,
    )
    come = {
        "voice": ("com.elevenlabs.post_call_transcription", talk("It is ana@x.co here, I want a quote")),
        "steward": ("viox.ticket.created", QUESTION),
        "closer": ("viox.lead.created", LEAD),
    }
    await desk.comes(*come[agent])
    assert not office.arguments("memory_link")
    assert not office.arguments("hubspot_get_contact")
    assert await desk.replayed() == []
