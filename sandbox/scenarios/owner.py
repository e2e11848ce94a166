"""The owner: a request that takes three colleagues, and the briefing at the owner's hour."""

from __future__ import annotations

from sandbox.scenarios import upstream
from sandbox.scenarios.story import Check, Day, Part, State, at_stop, calls, contacts, lead, mails, named, runs

OWNERS_MAIL = "dana@sandbox.example"
BRIEFINGS = f"{OWNERS_MAIL} Briefing:"  # as halts of the clock count them
REFUND = 2_100
BEFORE, AFTER = (1, "07:25"), (1, "07:35")
HOUR = "07:30"  # of the business's schedule


class Request(Part):
    """One sentence of the owner's, which three colleagues work on at the same time."""

    title = "The owner's request"

    async def play(self, day: Day) -> None:
        url, self.customer = day.vendors["stripe"], f"complaint.{day.tag}@example.com"
        self.charge = await upstream.charge(url, 8_000, "goods", await upstream.customer(url, self.customer))
        self.lead = lead(day)
        words = (
            f"Refund {REFUND / 100:.2f} USD of {self.charge}: it came late. "
            f"Then answer the ticket of {self.customer}, and take up {named(self.lead)} as a new lead."
        )
        context = {
            "refund": {"charge": self.charge, "amount_cents": REFUND, "currency": "usd", "reason": "it came late"},
            "ticket": {
                "ticket_id": f"T9-{day.tag}",
                "subject": "How to pay an invoice",
                "body": "How do I pay an invoice by transfer?",
                "customer_email": self.customer,
            },
            "lead": {name: value for name, value in self.lead.items() if name != "source"},
        }
        day.tell("The owner asks for a refund, an answer and a new lead, in one sentence.")
        self.asked = await day.ask("chief-of-staff", words, context)
        await day.ended(self.asked)

    def checks(self, state: State) -> list[Check]:
        children = [one for one in state["record"]["runs"] if one["parent_run_id"] == self.asked]
        told = [one["text"] or "" for one in runs(state, "chief-of-staff", run_id=self.asked)]
        money = [one["amount"] for one in state["stripe"]["refunds"] if one["charge"] == self.charge]
        names = ("Controller", "Steward", "Closer")
        letters = [one["text"] for one in mails(state, self.customer, "How to pay")]
        return [
            Check(
                "three colleagues work at the same time",
                sorted(one["agent"] for one in children),
                ["closer", "controller", "steward"],
            ),
            Check("their answers become one", [all(name in one for name in names) for one in told], [True]),
            Check("the refund is made once", money, [REFUND]),
            Check("the ticket is answered once", sum("by card" in one for one in letters), 1),
            Check("the lead is entered once", len(contacts(state, self.lead["email"])), 1),
        ]


class Briefing(Part):
    """What the owner reads, at the hour of the business's schedule."""

    title = "The owner's briefing"
    needs = ("schedules",)

    async def play(self, day: Day) -> None:
        await day.until(*BEFORE)
        await day.until(*AFTER)
        await day.see("the briefing", lambda s: len(mails(s, OWNERS_MAIL, "Briefing")) > (_sent(s, BEFORE) or 0))
        day.tell(f"At {HOUR} the owner reads what happened.")

    def checks(self, state: State) -> list[Check]:
        before, after = _sent(state, BEFORE), _sent(state, AFTER)
        jobs = calls(state, "northwind_listJobs", by="chief-of-staff", came="succeeded")
        return [
            Check("it comes at the owner's hour, once", (after or 0) - (before or 0), 1),
            Check("the business's own endpoints were looked at for it", bool(jobs), True, counts=False),
        ]


def _sent(state: State, moment: tuple[int, str]) -> int | None:
    """Briefings that the owner had got by then."""
    return at_stop(state, "mails", BRIEFINGS, f"+{moment[0]} {moment[1]}")
