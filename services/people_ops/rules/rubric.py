"""What an application is measured by: criteria with weights for each position, marks with evidence, a total in code.

A total never rejects anybody. It invites where it is high enough and every mark is proven; else a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

BAR = 60  # of 100: from here on an applicant is invited without anybody being asked
PROVEN_FROM = 3  # better marks than that need a quote


class Criterion(BaseModel):
    key: str
    weight: int
    what: str


def _criteria(**given: tuple[int, str]) -> tuple[Criterion, ...]:
    return tuple(Criterion(key=key, weight=weight, what=what) for key, (weight, what) in given.items())


# Words of a position → its criteria. The first that fits counts.
RUBRICS: Mapping[str, tuple[Criterion, ...]] = {
    r"technician|plumber|electrician|installer|mechanic|fitter|engineer": _criteria(
        experience=(3, "years of hands-on work in the trade"),
        skill=(3, "can do the work of the trade alone: installation, maintenance, finding faults"),
        customers=(2, "deals with customers on site"),
        reliability=(1, "licences, safety, keeps to schedules"),
    ),
    r"sales|account manager|closer|business development": _criteria(
        experience=(3, "years of selling"),
        results=(3, "results stated in numbers"),
        customers=(2, "listens, follows up, keeps customers"),
        tools=(1, "works with a CRM"),
    ),
    r"office|assistant|administrator|bookkeeper|accountant|dispatcher": _criteria(
        experience=(2, "years of office work"),
        accuracy=(3, "orderly, exact, keeps dates"),
        tools=(2, "office software, bookkeeping or scheduling systems"),
        communication=(2, "writes and speaks to customers and colleagues"),
    ),
}
OTHERWISE = _criteria(
    experience=(3, "years of work like that of the position"),
    skill=(3, "can do what the position asks for"),
    communication=(2, "works with customers and colleagues"),
    reliability=(1, "keeps what is promised"),
)


def rubric_for(position: str) -> tuple[Criterion, ...]:
    return next(
        (one for words, one in RUBRICS.items() if re.search(rf"\b(?:{words})s?\b", position, re.IGNORECASE)), OTHERWISE
    )


class Mark(BaseModel):
    """One criterion's mark."""

    criterion: Annotated[str, Field(max_length=40)]
    mark: Annotated[int, Field(ge=1, le=5, description="1 nothing speaks for it, 3 adequate, 5 outstanding")]
    evidence: Annotated[
        str, Field(max_length=400, description="letter by letter from the application; empty for 1 and 2")
    ] = ""
    reason: Annotated[str, Field(max_length=300)] = ""


class Marks(BaseModel):
    """One mark for each criterion."""

    marks: list[Mark] = Field(min_length=1, max_length=12)

    @model_validator(mode="after")
    def _one_each(self) -> Marks:
        keys = [mark.criterion for mark in self.marks]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"{twice} has two marks; give each criterion one")
        return self


class Screening(BaseModel):
    """What the marks come to. `open`: criteria without a mark that can be relied on."""

    total: int
    marks: list[Mark] = Field(default_factory=list)
    open: list[str] = Field(default_factory=list)

    @property
    def invites(self) -> bool:
        return self.total >= BAR and not self.open

    @property
    def reasons(self) -> str:
        """The marks with their evidence, for people to read."""
        lines = [
            f"{one.criterion}: {one.mark} of 5" + (f", “{one.evidence}”" if one.evidence else "") for one in self.marks
        ]
        return "\n".join([*lines, *(f"{key}: not proven" for key in self.open)])


def weighed(marks: Sequence[Mark], rubric: Sequence[Criterion], text: str) -> Screening:
    """The total of 100. A mark counts when it stands for a criterion of the rubric and its quote stands in the text."""
    given = {mark.criterion: mark for mark in marks}
    kept = [mark for one in rubric if (mark := given.get(one.key)) and _is_proven(mark, text)]
    weights = {one.key: one.weight for one in rubric}
    reached = sum(weights[mark.criterion] * (mark.mark - 1) for mark in kept)
    proven = {mark.criterion for mark in kept}
    total = round(100 * reached / (4 * sum(weights.values())))
    return Screening(total=total, marks=kept, open=[one.key for one in rubric if one.key not in proven])


def _is_proven(mark: Mark, text: str) -> bool:
    quote = _plain(mark.evidence)
    return (mark.mark < PROVEN_FROM and not quote) or (len(quote) >= 4 and quote in _plain(text))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
