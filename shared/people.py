"""The people of a business: one file (VIOX_PEOPLE). Approvals and the record of what was decided name them.

    people:
      - name: Dana
        roles: [owner]
        sms: +14155550123
        email: dana@example.com
      - name: Lee
        roles: [approver, operator]
        email: lee@example.com

The order is the order in which they are asked. `sms` and `email` are how they are told; `token_sha256` is of the token with
which they sign in to the console (`viox people token NAME`); `login` is who they are at the provider of OpenID Connect, where
that is not their `email`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.errors import BadInput
from shared.yaml_file import read_file

Role = Literal["owner", "approver", "operator", "viewer", "auditor"]
APPROVERS: frozenset[Role] = frozenset({"owner", "approver"})
OPERATORS: frozenset[Role] = frozenset({"owner", "operator"})
READERS: frozenset[Role] = frozenset({"owner", "operator", "auditor"})


class Person(BaseModel):
    """Somebody who may decide or look. Without `sms` and `email` nothing reaches them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")
    roles: frozenset[Role] = Field(min_length=1)
    sms: str | None = Field(default=None, pattern=r"^\+[1-9]\d{6,14}$")
    email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    login: str | None = Field(default=None, min_length=1, max_length=255)
    token_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @property
    def approves(self) -> bool:
        return bool(self.roles & APPROVERS)

    @property
    def operates(self) -> bool:
        """Steps in: pauses, settles, redrives, cancels, takes over, gives tasks."""
        return bool(self.roles & OPERATORS)

    @property
    def reads(self) -> bool:
        """Sees arguments, requests, answers and texts; others see who did what, when, and how it ended."""
        return bool(self.roles & READERS)


class People(BaseModel):
    """Everybody, in the order in which they are asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    people: tuple[Person, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> People:
        names = [person.name.casefold() for person in self.people]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two people are called {twice!r}")
        return self

    def __iter__(self) -> Iterator[Person]:  # type: ignore[override]  # a model iterates over its fields
        return iter(self.people)

    @property
    def approvers(self) -> tuple[Person, ...]:
        return tuple(person for person in self.people if person.approves)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every number and mail address."""
        return tuple(one for person in self.people for one in (person.sms, person.email) if one)

    def named(self, name: str | None) -> Person:
        """The one of that name, or the only one there is. Raises BadInput."""
        known = [person.name for person in self.people]
        remedy = f"One of {', '.join(known)}." if known else "Name a file of people with VIOX_PEOPLE."
        if name is None and len(known) == 1:
            return self.people[0]
        if name is None:
            raise BadInput("person.missing", "say who.", field="--by", remedy=remedy)
        found = next((person for person in self.people if person.name.casefold() == name.casefold()), None)
        if found is None:
            raise BadInput("person.unknown", f"nobody is called {name!r}.", field="--by", remedy=remedy)
        return found

    def approver(self, name: str | None) -> Person:
        """Who decides: the one of that name, or the only one there is. Raises BadInput."""
        able = [person.name for person in self.approvers]
        remedy = f"One of {', '.join(able)}." if able else "Give somebody the role owner or approver in VIOX_PEOPLE."
        if name is None:
            if len(able) == 1:
                return self.approvers[0]
            raise BadInput("person.missing", "say who decides.", field="--by", remedy=remedy)
        found = next((person for person in self.people if person.name.casefold() == name.casefold()), None)
        if found is None:
            raise BadInput("person.unknown", f"nobody is called {name!r}.", field="--by", remedy=remedy)
        if not found.approves:
            raise BadInput("person.not_allowed", f"{found.name} may not decide on calls.", field="--by", remedy=remedy)
        return found


def read_people(path: Path | None) -> People:
    """Everybody; nobody without a file. Raises BadInput naming the field at fault."""
    return read_file(path, "VIOX_PEOPLE", People) if path else People()
