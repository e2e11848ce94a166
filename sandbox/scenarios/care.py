"""Customer care: answers from what the business knows, and what is done where an answer is not enough."""

from __future__ import annotations

from typing import Any

from sandbox.scenarios import upstream
from sandbox.scenarios.story import Check, Day, Part, State, calls, comes, event, lead, mails, phone, runs, text, texts

KNOWN = "five wrong passwords"  # of the knowledge document
REFUND = 3_000
ORDER = "We will call you back about your order this afternoon."


class Care(Part):
    """A ticket answered from a document, one from what a colleague noted, one that needs a person, and a refund."""

    title = "Customer care"

    async def play(self, day: Day) -> None:
        self.locked, self.payer, self.tag = f"locked.{day.tag}@example.com", f"returns.{day.tag}@example.com", day.tag
        self.known = lead(day, interest="a wooden terrace with a roof", phone=None)
        self.stranger = phone(day)
        day.answers("problem with my order", ORDER)
        day.tell("Somebody is locked out, somebody texts about an order, somebody wants money back.")
        url = day.vendors["stripe"]
        self.charge = await upstream.charge(url, 9_000, "goods", await upstream.customer(url, self.payer))
        wish = f"Please refund {REFUND / 100:.2f} USD of {self.charge}, one part was broken."
        await day.publish(
            ticket(f"T1-{day.tag}", "Cannot log in, urgent", "I am locked out since this morning.", self.locked),
            ticket(f"T2-{day.tag}", "Money back", wish, self.payer),
            comes(self.known),
        )
        await text(day, self.stranger, "Hi, I have a problem with my order")
        await day.see("Closer's entry", lambda s: self._noted(s))
        words = "You noted that I am interested in a terrace with a roof. What did I ask for?"
        await day.publish(ticket(f"T3-{day.tag}", "The wooden terrace", words, self.known["email"]))
        await day.see("an answer about the terrace", lambda s: mails(s, self.known["email"], "Re: The wooden"))
        await day.see("the refund", lambda s: self._refunds(s) and len(mails(s, self.payer)) == 2)
        await day.until(0, "09:05")  # a person is asked a minute after the customer was told that one would be
        await day.see("what the owner answered", lambda s: len(texts(s, self.stranger)) == 2)
        await day.until(3, "10:05")  # whoever was answered is asked whether it helped

    def _noted(self, state: State) -> bool:
        """Closer has entered them, and remembers what they wanted."""
        return bool(calls(state, "memory_remember", came="succeeded", entity=f"person:{self.known['email']}"))

    def _refunds(self, state: State) -> list[dict[str, Any]]:
        return [one for one in state["stripe"]["refunds"] if one["charge"] == self.charge]

    # -- what must have come of it ---------------------------------------------------------------------------------------

    def checks(self, state: State) -> list[Check]:
        answers = [one["text"] for one in mails(state, self.locked, "Re: Cannot log in")]
        told = [one["text"] for one in mails(state, self.known["email"], "Re: The wooden")]
        cited = runs(state, "steward", conversation_id=f"ticket:T3-{self.tag}", trigger_type="viox.ticket.created")
        said = texts(state, self.stranger)
        handed = calls(state, "task_delegate", by="steward", came="succeeded", agent="controller")
        ours = [one for one in handed if self.payer in str(one["arguments"])]
        money = [one["amount"] for one in self._refunds(state)]
        refunded = [one for one in mails(state, self.payer) if "30.00 USD" in one["text"]]
        return [
            Check("the answer is the document's", sum(KNOWN in one for one in answers[:1]) + len(answers), 3),
            Check("and names where it stands", sum("You find this in: " in one for one in answers), 1),
            Check("what Closer noted is in Steward's answer", sum("Is interested in" in one for one in told), 1),
            Check("and Steward cites Closer", sum("closer" in (one["text"] or "") for one in cited), 1),
            Check("who texts about an order hears at once, then the answer, later a question", len(said), 3),
            Check("the second time what the owner said", sum(ORDER in one for one in said), 1),
            Check("Steward asks Controller once for the refund", len(ours), 1),
            Check("the money goes back once", money, [REFUND]),
            Check("and the customer is told", len(refunded), 1),
            Check(
                "three days on they are asked whether it helped",
                sum("did our answer help" in one for one in answers),
                1,
            ),
        ]


def ticket(key: str, subject: str, body: str, address: str) -> dict[str, Any]:
    data = {"ticket_id": key, "subject": subject, "body": body, "customer_email": address}
    return event("viox.ticket.created", "helpdesk", data)
