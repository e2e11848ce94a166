"""The owner on a demo's day: answers what agents ask, and agrees to what waits, as from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.store.sql import Queries
from viox import approvals, deployment, output

SQL = Queries(Path(__file__).with_name("demo.sql"))
OTHERWISE = "Thank you, I look after it."
QUESTION = "person_ask"


class Owner:
    """Decides everything that runs wait for since a moment, once each."""

    def __init__(self, pool: Any, since: datetime) -> None:
        self._pool, self._since = pool, since
        self._done: set[str] = set()
        self._said: list[str] = []
        self.answers: dict[str, str] = {}  # to questions with these words
        self.refusals: dict[tuple[str, str], str] = {}  # why of calls of a tool with these words

    async def has_questions(self) -> bool:
        """Whether something waits for a person now."""
        return bool(await self._pool.fetch(*SQL.bind("demo_waiting", since=self._since)))

    async def decide(self) -> None:
        """Whatever waits for a person now."""
        for row in await self._pool.fetch(*SQL.bind("demo_waiting", since=self._since)):
            if row["approval_id"] not in self._done:
                self._done.add(row["approval_id"])
                await self._decide(row)

    def said(self) -> list[str]:
        """What was typed since this was asked last."""
        told, self._said = self._said, []
        return told

    async def _decide(self, row: Any) -> None:
        people = deployment.people().approvers
        if row["tool"] == QUESTION:
            answer = answer_to(str(row["question"]), row["choices"], self.answers)
            self._said.append(f"$ viox answer {row['approval_id']} {answer!r} --by {people[0].name}")
            with output.silenced():
                await approvals.answer(row["approval_id"], answer, people[0].name, as_json=False)
            return
        if why := refusal_of(row["tool"], row["arguments"], self.refusals):
            self._said.append(
                f"$ viox reject {row['approval_id']} --reason {why!r} --by {people[0].name}   ({row['tool']})"
            )
            with output.silenced():
                await approvals.reject(row["approval_id"], why, people[0].name, as_json=False)
            return
        for person in people[: row["people"]]:
            self._said.append(f"$ viox approve {row['approval_id']} --by {person.name}   ({row['tool']})")
            with output.silenced():
                await approvals.approve(row["approval_id"], None, None, None, None, person.name, as_json=False)


def refusal_of(tool: str, arguments: str, refusals: Mapping[tuple[str, str], str]) -> str | None:
    """Why the owner does not agree to a call; None when they do."""
    return next((why for (of, words), why in refusals.items() if of == tool and words in arguments), None)


def answer_to(question: str, choices: Sequence[str] | None, answers: Mapping[str, str]) -> str:
    """The first of the choices; else what is told to questions with some words."""
    if choices:
        return choices[0]
    return next((said for words, said in answers.items() if words in question), OTHERWISE)
