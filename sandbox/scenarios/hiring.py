"""Hiring: two people apply for one position, and both want the first of the times they are offered."""

from __future__ import annotations

import re
from typing import Any

from sandbox.scenarios.story import Check, Day, Part, State, calls, event, phone, text, texts

RESUME = (
    "{years} years of field service. Installed and repaired boilers at customers' homes. "
    "Licensed electrician; safety courses every year."
)
TERMS = "Full time from 11 January, 4,200.00 USD a month."


class Hiring(Part):
    """Screened without names, invited by text message, and nobody meets two people at one time."""

    title = "Hiring"

    async def play(self, day: Day) -> None:
        self.people = [self._applicant(day, number) for number in (1, 2)]
        day.answers("terms", TERMS)
        day.tell("Two technicians apply.")
        await day.publish(*(event("viox.candidate.applied", "careers", one) for one in self.people))
        await day.see("both invited", lambda s: all(self._said(s, one, "Which time suits you") for one in self.people))
        day.tell("Both want the first of their times.")
        for one in self.people:
            await text(day, one["phone"], "1")
        await day.see("one confirmed", lambda s: len(self._confirmed(s)) == 1)
        other = await day.see("the other offered others", self._turned_down)
        await text(day, other["phone"], "1")
        await day.see("both confirmed", lambda s: len(self._confirmed(s)) == 2)

    def _applicant(self, day: Day, number: int) -> dict[str, Any]:
        return {
            "candidate_id": f"C{number}-{day.tag}",
            "name": ("Nora Field", "Omar Glass")[number - 1],
            "email": f"job{number}.{day.tag}@example.com",
            "phone": phone(day),
            "position": "Technician",
            "resume_text": RESUME.format(years=6 + number),
        }

    def _said(self, state: State, one: dict[str, Any], words: str) -> list[str]:
        return [said for said in texts(state, one["phone"]) if words in said]

    def _confirmed(self, state: State) -> list[str]:
        """The times that were agreed on."""
        found = [
            re.search(r"See you on (.+?)\. Write", said) for one in self.people for said in texts(state, one["phone"])
        ]
        return [one[1] for one in found if one]

    def _turned_down(self, state: State) -> dict[str, Any] | None:
        return next((one for one in self.people if self._said(state, one, "just been taken")), None)

    def checks(self, state: State) -> list[Check]:
        agreed = self._confirmed(state)
        claims = [one for one in calls(state, "records_claim", by="people-ops") if self._is_ours(one)]
        mine = [one["arguments"]["entity"] for one in claims if (one["result"] or {}).get("mine")]
        turned = [said for one in self.people for said in self._said(state, one, "just been taken")]
        return [
            Check(
                "both are invited",
                [len(self._said(state, one, "hank you for applying")) for one in self.people],
                [1, 1],
            ),
            Check("the second is told that the time is taken", len(turned), 1),
            Check("both come, at different times", (len(agreed), len(set(agreed))), (2, 2)),
            Check("each time is claimed by one of them", (len(mine), len(set(mine))), (2, 2)),
        ]

    def _is_ours(self, call: dict[str, Any]) -> bool:
        return any(f"candidate:{one['candidate_id']}" == call["arguments"].get("holder") for one in self.people)
