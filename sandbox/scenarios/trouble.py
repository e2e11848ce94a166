"""What goes otherwise: a person takes a conversation over, somebody asks at night, vendors fail for a while."""

from __future__ import annotations

from typing import Any

from sandbox.scenarios.story import (
    Check,
    Day,
    Part,
    State,
    at_stop,
    calls,
    comes,
    contacts,
    lead,
    named,
    of_contact,
    text,
    texts,
)

LATER, NOON, NIGHT, EARLY, MORNING = (0, "13:00"), (0, "14:00"), (0, "21:30"), (1, "07:35"), (1, "08:05")


class TakeOver(Part):
    """Agents are silent in a conversation that a person has, and answer once it is given back."""

    title = "A person takes over"

    async def play(self, day: Day) -> None:
        self.lead = lead(day)
        await day.publish(comes(self.lead))
        await day.see("a first message", lambda s: texts(s, self.lead["phone"]))
        day.tell(f"Dana talks to {named(self.lead)} herself; their yes comes meanwhile.")
        await day.take_over(f"lead:{self.lead['email']}", "Dana")
        await text(day, self.lead["phone"], "Yes please")
        await day.until(*LATER)
        await day.give_back(f"lead:{self.lead['email']}")
        day.tell("She gives the conversation back.")
        await day.see("the offer", lambda s: len(texts(s, self.lead["phone"])) == 2)

    def checks(self, state: State) -> list[Check]:
        said = texts(state, self.lead["phone"])
        silent = at_stop(state, "texts", self.lead["phone"], "+0 09:00")
        return [
            Check("agents were silent meanwhile", silent, 1),
            Check("and answered afterwards, once", (len(said), sum("pay here" in one for one in said)), (2, 1)),
        ]


class Night(Part):
    """Whoever asks in the quiet hours of where they are is written to in the morning."""

    title = "A message at night"
    needs = ("quiet_hours",)

    async def play(self, day: Day) -> None:
        self.lead = lead(day)
        await day.until(*NIGHT)
        day.tell(f"{named(self.lead)} asks at half past nine in the evening. No text goes out before eight.")
        await day.publish(comes(self.lead))
        await day.see("the refusal", lambda s: calls(s, "twilio_send_message", To=self.lead["phone"], came="denied"))
        await day.until(*EARLY)
        await day.until(*MORNING)
        await day.see("a first message", lambda s: texts(s, self.lead["phone"]))

    def checks(self, state: State) -> list[Check]:
        number = self.lead["phone"]
        sent = [at_stop(state, "texts", number, f"+{days} {at}") for days, at in (NIGHT, EARLY, MORNING)]
        return [
            Check(
                "the text is refused once at night",
                len(calls(state, "twilio_send_message", To=number, came="denied")),
                1,
            ),
            Check("and goes out in the morning", sent, [0, 0, 1]),
        ]


class Failures(Part):
    """HubSpot answers 503 for a while, Twilio sends and does not say so: all is tried again, nothing is doubled."""

    title = "Vendors fail"

    async def play(self, day: Day) -> None:
        self.lead = lead(day)
        await day.until(*NOON)
        day.tell("HubSpot is down for a moment, and Twilio's answer to a message is lost on the way.")
        await day.happen("hubspot", "faults", {"kind": "503", "count": 6})
        await day.happen("twilio", "faults", {"kind": "cut_after", "method": "POST", "path": "Messages.json"})
        await day.publish(comes(self.lead))
        await day.see("the lead entered and written to", self._done)

    def _done(self, state: State) -> bool:
        sent = calls(state, "twilio_send_message", To=self.lead["phone"], came="succeeded")
        return bool(sent and of_contact(state, "tasks", self.lead["email"]))

    def checks(self, state: State) -> list[Check]:
        email, number = self.lead["email"], self.lead["phone"]
        tried = [one["attempts"] for one in self._own(state) if one["tool"].startswith("hubspot_")]
        kinds = {kind: len(of_contact(state, kind, email)) for kind in ("deals", "tasks")}
        first = [one for one in texts(state, number) if "thanks for asking" in one]
        unsure = calls(state, "twilio_send_message", To=number, came="succeeded")
        return [
            Check("HubSpot's 503s are tried again", sum(tried) > len(tried), True, counts=False),
            Check("the contact is there once", len(contacts(state, email)), 1),
            Check("deal and task as well", kinds, {"deals": 1, "tasks": 1}),
            Check("the message went out once", len(first), 1),
            Check("and what came of it was found out", sum(one["look_ups"] > 0 for one in unsure), 1),
        ]

    def _own(self, state: State) -> list[dict[str, Any]]:
        return [one for one in state["record"]["calls"] if one["conversation_id"] == f"lead:{self.lead['email']}"]
