"""The telephone: calls that nobody took, what comes of them over three agents, and what one said by phone another knows by mail."""

from __future__ import annotations

from typing import Any

from sandbox.scenarios.care import ticket
from sandbox.scenarios.story import (
    Check,
    Day,
    Part,
    State,
    calls,
    contacts,
    mails,
    missed_call,
    of_contact,
    phone,
    runs,
    text,
    texts,
)

TALK = (
    ("agent", "Hello, this is the office. You called us?"),
    ("user", "Yes, I would like a quote for solar panels, please."),
    ("agent", "Gladly. We will send it to you."),
)
KNOWN_TALK = (
    ("agent", "Hello, this is the office. You called us?"),
    ("user", "Yes, please note that my boiler stands in the cellar, behind the green door."),
)
DOOR = "behind the green door"


class Telephone(Part):
    """Voice texts at once and calls back; Closer asks for an address; the answer makes a lead of the caller. Somebody whom the
    business itself has entered in the CRM with number and address says something by phone, and asks for it by mail."""

    title = "Telephone"

    async def play(self, day: Day) -> None:
        self.caller, self.email = phone(day), f"caller.{day.tag}@example.com"
        self.number, self.mail, self.ticket = phone(day), f"boiler.{day.tag}@example.com", f"T4-{day.tag}"
        somebody = {"email": self.mail, "phone": self.number, "firstname": "Bo", "lastname": "Iler"}
        await day.happen("hubspot", "typed", {"properties": somebody})
        await self._script(day, self.caller, TALK, "The caller wants a quote for solar panels.")
        await self._script(
            day, self.number, KNOWN_TALK, f"The caller said that the boiler stands in the cellar, {DOOR}."
        )
        day.tell(f"{self.caller} calls, and nobody is free.")
        await day.publish(missed_call(self.caller))
        await day.see("a call back", lambda s: [one for one in s["elevenlabs"]["conversations"] if self._is_ours(one)])
        day.tell("Voice texts and calls back: they want a quote, which is Closer's. Closer asks for an address.")
        await day.see("Closer asks", lambda s: len(texts(s, self.caller)) == 2)
        await text(day, self.caller, f"It is {self.email}")
        await day.publish(missed_call(self.number))
        await day.see("they are entered", lambda s: of_contact(s, "deals", self.email))
        await day.see(
            "what was said", lambda s: calls(s, "memory_remember", by="voice", came="succeeded", **self._phone)
        )
        day.tell("Somebody whom the business knows says on the phone where the boiler stands, and asks by mail.")
        asked = "I told you on the phone where my boiler stands. Behind which door is it?"
        await day.publish(ticket(self.ticket, "Where the boiler stands", asked, self.mail))
        await day.see("an answer about the boiler", lambda s: mails(s, self.mail, "Re: Where the boiler"))

    @property
    def _phone(self) -> dict[str, str]:
        return {"entity": f"phone:{self.number}"}

    async def _script(self, day: Day, number: str, talk: tuple[tuple[str, str], ...], summary: str) -> None:
        said = [{"role": role, "message": words} for role, words in talk]
        await day.happen("elevenlabs", "script", {"to_number": number, "transcript": said, "summary": summary})

    def checks(self, state: State) -> list[Check]:
        talks = [one for one in state["elevenlabs"]["conversations"] if self._is_ours(one)]
        said = texts(state, self.caller)
        known = [one["properties"].get("phone") for one in contacts(state, self.email)]
        handed = calls(state, "task_delegate", by="voice", came="succeeded", conversation=f"phone:{self.caller}")
        own = runs(state, "closer", conversation_id=f"phone:{self.caller}", trigger_type="com.twilio.message.received")
        return [
            Check("a missed call gets one text", sum("missed your call" in one for one in said), 1),
            Check("and one call back", len(talks), 1),
            Check("what was said is handed to Closer once", [one["arguments"]["agent"] for one in handed], ["closer"]),
            Check("Closer asks once for an address", sum("e-mail address" in one for one in said), 1),
            Check("the answer is Closer's", len(own), 1),
            Check("the caller is in the CRM once, with number", known, [self.caller]),
            Check("and has one deal", len(of_contact(state, "deals", self.email)), 1),
            Check(
                "that the address is theirs is only claimed: they said so", self._linked(state, self.email), ["claimed"]
            ),
            Check("whom the business entered with both is one person", self._linked(state, self.mail), ["confirmed"]),
            Check("what Voice heard is in Steward's mail", sum(DOOR in one["text"] for one in self._answers(state)), 1),
            Check("and Steward cites Voice", sum("voice" in (one["text"] or "") for one in self._tickets(state)), 1),
        ]

    def _linked(self, state: State, email: str) -> list[str]:
        found = calls(state, "memory_link", came="succeeded", entity=f"person:{email}")
        return [one["result"]["state"] for one in found if one["result"]["new"]]

    def _answers(self, state: State) -> list[dict[str, Any]]:
        return mails(state, self.mail, "Re: Where the boiler")

    def _tickets(self, state: State) -> list[dict[str, Any]]:
        own = f"ticket:{self.ticket}"
        return runs(state, "steward", conversation_id=own, trigger_type="viox.ticket.created")

    def _is_ours(self, talk: dict[str, object]) -> bool:
        return self.caller in str(talk)
