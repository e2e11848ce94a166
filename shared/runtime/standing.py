"""Where a run stands, read from its own steps: what triggered it and is not done with, and which node asked for what last.

Nothing else is kept between activations, so that a thread can be continued by any process, from any version of its graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.runtime.history import Step


@dataclass(slots=True)
class Standing:
    """`triggers` are those that are not done with, the one that is worked on first; `piece` the steps of the work on it.

    `node` asked for something last (None: the work has not begun, or a graph of an older version asked); `asked` is its plan or
    the question that it put, `turn` the newest turn about that question.
    """

    triggers: list[Step] = field(default_factory=list)
    piece: list[Step] = field(default_factory=list)
    node: str | None = None
    asked: Step | None = None
    turn: Step | None = None

    @property
    def has_begun(self) -> bool:
        return self.asked is not None or self.turn is not None

    @property
    def question(self) -> str | None:
        """Name of the question that was put last and is not known to be answered; None in an open loop."""
        of = self.turn or self.asked
        return of.body.get("question") if of else None


def standing(own: Sequence[Step]) -> Standing:
    """`own` are all steps of the run so far."""
    found = Standing()
    for step in own:
        match step.kind:
            case "trigger":
                found.triggers.append(step)
            case "plan" | "ask":
                found.node, found.asked, found.turn = step.body["node"], step, None
            case "model":
                found.node, found.turn = step.body.get("node"), step
                found.asked = (
                    found.asked if found.asked and found.asked.kind == "ask" and _same(found.asked, step) else None
                )
            case "note" if "concluded" in step.body:
                left = [one for one in found.triggers if one.step > step.body["concluded"]]
                found = Standing(triggers=left)
                continue
        found.piece.append(step)
    return found


def _same(asked: Step, turn: Step) -> bool:
    return (asked.body["node"], asked.body["question"]) == (turn.body.get("node"), turn.body.get("question"))
