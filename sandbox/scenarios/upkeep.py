"""What Operator looks after by the schedule: contacts that are there twice, and automations that failed without a word."""

from __future__ import annotations

from typing import Any

from sandbox.scenarios import upstream
from sandbox.scenarios.story import FIRST, LAST, Check, Day, Part, State, calls, phone

NIGHT = (1, "07:25")  # after the hours of the schedules
NEXT_NIGHT = (2, "10:05")
NO = "they are mother and daughter"


class Contacts(Part):
    """Two pairs that look like one person: a person agrees to one, and rejects the other for good."""

    title = "Contacts that are there twice"
    needs = ("upkeep",)

    async def play(self, day: Day) -> None:
        dice, self.tag = day.dice, day.tag
        (first, second), last = dice.sample(FIRST, 2), dice.choice(LAST)
        one = {"firstname": first, "lastname": last, "company": f"Maple Clinic {day.tag}"}
        kin = {"firstname": second, "lastname": last, "phone": phone(day)}
        self.addresses = {who: f"{who}.{self.tag}@example.com" for who in ("typed", "mother", "daughter")}
        self.again = f"typed.{self.tag}+newsletter@example.com"
        self.kept, self.merged, self.mother, self.daughter = await upstream.doubled_contacts(
            day.vendors["hubspot"],
            one | {"email": self.addresses["typed"]},
            one | {"email": self.again},
            kin | {"email": self.addresses["mother"]},
            kin | {"email": self.addresses["daughter"], "firstname": second[0]},
        )
        day.rejects("hubspot_merge_contacts", self.daughter, NO)
        day.tell(f"{first} {last} is in the CRM twice; so, it seems, is {second} {last}.")
        await day.until(*NIGHT)
        await day.see("the first pair merged", lambda s: self.merged not in _contacts(s))
        await day.see("the other one rejected", self._rejected)
        day.tell(
            "Operator looked through the contacts in the night: one pair is merged, the other is mother and daughter."
        )
        await day.until(*NEXT_NIGHT)

    def _rejected(self, state: State) -> list[Any]:
        return calls(state, "hubspot_merge_contacts", came="rejected", objectIdToMerge=self.daughter)

    def _asked(self, state: State, other: str) -> int:
        return len(calls(state, "hubspot_merge_contacts", by="operator", objectIdToMerge=other))

    def checks(self, state: State) -> list[Check]:
        known = _contacts(state)
        kept = [one["properties"].get("hs_additional_emails") for one in known.values() if one["id"] == self.kept]
        others = [one["id"] for one in known.values() if one["id"] in (self.mother, self.daughter)]
        nights = calls(state, "hubspot_list_contacts", by="operator", came="succeeded")
        return [
            Check("two contacts of one person became one, once", kept, [self.again]),
            Check("a person agreed to it first, once", self._asked(state, self.merged), 1),
            Check("the pair that a person rejected is still two", sorted(others), sorted((self.mother, self.daughter))),
            Check("and was asked of once", len(self._rejected(state)), 1),
            Check("though they were looked through on more nights", len(nights) > 1, True, counts=False),
        ]


class Automations(Part):
    """A run that fails in passing, one at Make, and one with a defect: two are repaired, a person is asked of the third."""

    title = "Automations that failed without a word"
    needs = ("upkeep",)
    uses = ("make",)

    async def play(self, day: Day) -> None:
        n8n, make = day.vendors["n8n"], day.vendors["make"]
        _, self.passing = await upstream.workflow_that_fails(n8n, day.tag, "Orders to chat", "504 Gateway timeout")
        _, self.broken = await upstream.workflow_that_fails(n8n, day.tag, "Leads to sheet", "The column Size is gone")
        self.name = f"Leads to sheet {day.tag}"
        self.scenario = await upstream.scenario_that_fails(make, day.tag, "429 Too Many Requests")
        day.answers(self.name, "I look after it")
        day.tell("Three automations failed; nothing told of it.")
        await day.until(*NIGHT)
        await day.see("two of them run again", lambda s: self._again(s) and len(self._runs(s)) == 2)
        await day.see("a question about the third", self._questions)
        day.tell("Operator found them in the morning: two run again, a person is asked of the third.")

    def _again(self, state: State) -> list[str]:
        found = [one for one in state["n8n"]["executions"] if str(one.get("retryOf")) == self.passing]
        return [one["status"] for one in found]

    def _runs(self, state: State) -> list[int]:
        return [one["status"] for one in state["make"]["executions"] if one["scenarioId"] == self.scenario]

    def _questions(self, state: State) -> list[Any]:
        asked = [one for one in state["record"]["approvals"] if self.name in (one["question"] or "")]
        return [one for one in asked if one["state"] == "answered"]

    def checks(self, state: State) -> list[Check]:
        broken = [one for one in state["n8n"]["executions"] if str(one.get("retryOf")) == self.broken]
        looked = calls(state, "n8n_list_executions", by="operator", came="succeeded")
        return [
            Check("what fails in passing is run again once, and succeeds", self._again(state), ["success"]),
            Check("the scenario as well", self._runs(state), [3, 1]),
            Check("a person is asked of the defect once", len(self._questions(state)), 1),
            Check(
                "which nobody runs again, on more looks than one", (broken, len(looked) > 2), ([], True), counts=False
            ),
        ]


def _contacts(state: State) -> dict[str, Any]:
    found: dict[str, Any] = state["hubspot"]["objects"]["contacts"]
    return found
