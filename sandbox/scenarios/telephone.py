"""The telephone: a call that nobody took, and what comes of it over three agents."""

from __future__ import annotations

from sandbox.scenarios.story import (
    Check,
    Day,
    Part,
    State,
    calls,
    contacts,
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


class Telephone(Part):
    """Voice texts at once and calls back; Closer asks for an address; the answer makes a lead of the caller."""

    title = "Telephone"

    async def play(self, day: Day) -> None:
        self.caller, self.email = phone(day), f"caller.{day.tag}@example.com"
        said = [{"role": role, "message": words} for role, words in TALK]
        summary = "The caller wants a quote for solar panels."
        await day.happen("elevenlabs", "script", {"to_number": self.caller, "transcript": said, "summary": summary})
        day.tell(f"{self.caller} calls, and nobody is free.")
        await day.publish(missed_call(self.caller))
        await day.see("a call back", lambda s: [one for one in s["elevenlabs"]["conversations"] if self._is_ours(one)])
        day.tell("Voice texts and calls back: they want a quote, which is Closer's. Closer asks for an address.")
        await day.see("Closer asks", lambda s: len(texts(s, self.caller)) == 2)
        await text(day, self.caller, f"It is {self.email}")
        await day.see("they are entered", lambda s: of_contact(s, "deals", self.email))

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
        ]

    def _is_ours(self, talk: dict[str, object]) -> bool:
        return self.caller in str(talk)
