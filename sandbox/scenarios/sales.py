"""Sales: four people who ask, and what becomes of each."""

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
    counts,
    lead,
    missed_call,
    named,
    of_contact,
    runs,
    text,
    texts,
    undelivered,
)

SMS = "com.twilio.message.received"
WORKSPACE = "wspSandbox0000001"
FOLLOW_UPS = ((2, "10:05"), (7, "10:05"), (11, "10:05"))
"""Two, five and nine days after a Monday, each on the next working day."""


class Sales(Part):
    """From the first word to the payment, and what happens to those who do not answer."""

    title = "Sales"

    async def play(self, day: Day) -> None:
        self.silent, self.buyer, self.talker, self.leaver, self.lost = (lead(day) for _ in range(5))
        await day.happen("twilio", "unreachable", {"number": self.lost["phone"]})
        self.everybody = (self.silent, self.buyer, self.talker, self.leaver, self.lost)
        day.answers("Airtable workspace", WORKSPACE)
        day.tell(f"Five people ask on the website; {named(self.silent)} will not answer.")
        await day.publish(*map(comes, self.everybody))
        await day.see("a first message to each", lambda s: all(texts(s, one["phone"]) for one in self.everybody[:4]))
        await self._lose(day)
        await self._answer(day)
        await self._pay(day)
        for days, at in FOLLOW_UPS:
            await day.until(days, at)
        await day.until(21, "11:00")
        day.tell(f"Three weeks after the stop, {named(self.leaver)} calls by mistake and hangs up.")
        await day.publish(missed_call(self.leaver["phone"]))
        await day.see("Voice tries to text", lambda s: calls(s, "twilio_send_message", To=self.leaver["phone"])[1:])

    async def _lose(self, day: Day) -> None:
        """Twilio tells that a message reached nobody."""
        sent = await day.see("a message", lambda s: self._to_lost(s))
        await day.publish(*(undelivered(one["sid"], self.lost["phone"]) for one in sent))

    def _to_lost(self, state: State) -> list[dict[str, Any]]:
        mine = [one for one in state["twilio"]["messages"] if one["to"] == self.lost["phone"]]
        return [one for one in mine if self.lost["first_name"] in one["body"]]

    async def _answer(self, day: Day) -> None:
        day.tell(f"{named(self.leaver)} answers STOP, {named(self.buyer)} yes, {named(self.talker)} asks first.")
        await text(day, self.leaver["phone"], "STOP")
        await text(day, self.buyer["phone"], "Yes please, call me tomorrow.")
        await text(day, self.talker["phone"], "How long will it take?")
        await text(day, self.talker["phone"], "Thanks, that sounds good")
        await day.see(
            "an offer to each", lambda s: self._link(s, self.buyer) and len(texts(s, self.talker["phone"])) == 3
        )

    async def _pay(self, day: Day) -> None:
        link = await day.see("the payment link", lambda s: self._link(s, self.buyer))
        day.tell(f"{named(self.buyer)} pays by the link; the deal is won, and Operator takes over.")
        await day.happen("stripe", "pay", {"payment_link": link["id"], "email": self.buyer["email"]})
        await day.see("the client's base", lambda s: runs(s, "operator", conversation_id=self._client(s)))

    def _link(self, state: State, who: dict[str, Any]) -> Any:
        links = state["stripe"]["payment_links"]
        return next((one for one in links if one["metadata"].get("lead") == who["email"]), None)

    def _client(self, state: State) -> str:
        deals = of_contact(state, "deals", self.buyer["email"])
        return f"client:deal-{deals[0]['id']}" if deals else "nobody's"

    # -- what must have come of it ---------------------------------------------------------------------------------------

    def checks(self, state: State) -> list[Check]:
        return [
            *(check for one in self.everybody for check in self._entered(state, one)),
            *self._silence(state),
            *self._sale(state),
            *self._talk(state),
            *self._stop(state),
            *self._loss(state),
        ]

    def _entered(self, state: State, one: dict[str, Any]) -> list[Check]:
        deals = of_contact(state, "deals", one["email"])
        amounts = [deal["properties"]["amount"] for deal in deals]
        return [
            Check(f"{named(one)} is in the CRM once", len(contacts(state, one["email"])), 1),
            Check(f"{named(one)} has a deal of the amount", amounts, [f"{one['amount_cents'] / 100:.2f}"]),
        ]

    def _silence(self, state: State) -> list[Check]:
        sent = [at_stop(state, "texts", self.silent["phone"], f"+{days} {at}") for days, at in FOLLOW_UPS]
        told = [one for one in self._notes(state, self.silent) if "No answer to 4 messages" in one]
        return [
            Check("who is silent is asked 2, 5 and 9 days on", sent, [2, 3, 4]),
            Check("and never again", counts(state, "texts", self.silent["phone"])[-1], 4),
            Check("a note says that they are silent", len(told), 1),
        ]

    def _sale(self, state: State) -> list[Check]:
        mine = [one for one in state["stripe"]["payment_links"] if one["metadata"].get("lead") == self.buyer["email"]]
        stages = [deal["properties"]["dealstage"] for deal in of_contact(state, "deals", self.buyer["email"])]
        paid = [one["amount_total"] for one in state["stripe"]["checkout/sessions"] if self._is_buyers(one)]
        base = f"{self.buyer['company']} back office"
        mine_bases = [one for one in calls(state, "airtable_create_base", name=base) if one["state"] == "succeeded"]
        handed = [one["status"] for one in runs(state, "operator", conversation_id=self._client(state))]
        said = texts(state, self.buyer["phone"])
        return [
            Check("a yes gets one payment link", len(mine), 1),
            Check("the link is in the offer", sum(one["url"] in words for one in mine for words in said), 1),
            Check("who pays pays the deal's amount", paid, [self.buyer["amount_cents"]]),
            Check("the deal is won", stages, ["closedwon"]),
            Check("the payment is thanked for", sum("has arrived" in words for words in said), 1),
            Check("Operator is handed the client", handed, ["finished"]),
            Check("the client's base is built", len(mine_bases), 1),
        ]

    def _is_buyers(self, session: dict[str, Any]) -> bool:
        return bool(
            (session.get("metadata") or {}).get("lead") == self.buyer["email"] and session["status"] == "complete"
        )

    def _talk(self, state: State) -> list[Check]:
        answered = [one for one in self._notes(state, self.talker) if "Answered by text message" in one]
        links = [one for one in state["stripe"]["payment_links"] if one["metadata"].get("lead") == self.talker["email"]]
        own = runs(state, "closer", conversation_id=f"lead:{self.talker['email']}", trigger_type=SMS)
        return [
            Check("who answers twice is noted twice, in their conversation", (len(answered), len(own)), (2, 2)),
            Check("and gets a message for each", len(texts(state, self.talker["phone"])), 3),
            Check("and one link", len(links), 1),
        ]

    def _stop(self, state: State) -> list[Check]:
        denied = calls(state, "twilio_send_message", To=self.leaver["phone"], by="voice", came="denied")
        return [
            Check("who said stop got one message", len(texts(state, self.leaver["phone"])), 1),
            Check("weeks later another agent is refused", len(denied), 1),
        ]

    def _loss(self, state: State) -> list[Check]:
        """The number takes no messages: what was to be said goes by mail."""
        first = at_stop(state, "mails", self.lost["email"], "+0 09:00") or 0
        sent = [at_stop(state, "mails", self.lost["email"], f"+{days} {at}") or 0 for days, at in FOLLOW_UPS]
        return [Check("whom no text reaches is written to by mail", [one - first for one in sent], [1, 2, 3])]

    def _notes(self, state: State, one: dict[str, Any]) -> list[str]:
        return [note["properties"]["hs_note_body"] for note in of_contact(state, "notes", one["email"])]
