"""What an activation gives its graph, and the state that passes through it.

Nodes are pure apart from the model: what they want done is steps, which the runtime commits and sends. What a thread waits
for lies in the runtime's own tables, so nothing of LangGraph's is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from shared.business import Business
from shared.errors import VioxError
from shared.ids import RunId
from shared.models.models_file import NO_LIMITS, Limits
from shared.models.port import ChatModel, Messages, Toolbox, sha256_json
from shared.runtime.history import Step, conversation, turns_of


class AgentState(TypedDict, total=False):
    """State of one activation. `steps` are all it adds to the record; `end` is how the run ends, once that is known."""

    steps: list[Step]
    end: dict[str, Any] | None


class TooManyTurns(VioxError):
    """A run that does not come to an end is stopped rather than paid for without limit."""


@dataclass(frozen=True)
class RunContext:
    """What an activation gives its nodes: who runs, what happened before, the model and the tools.

    `history` is the whole conversation, the run's own steps last; `first_step` numbers the run's next step. `asked_with`
    collects the prompts and tool lists of model requests by digest. `limits` are those of a question in the file of models;
    `question_prompts` what is asked instead of a question's own prompt, by its name.
    """

    run_id: RunId
    history: Sequence[Step]
    first_step: int
    model: ChatModel
    prompt: str
    tools: Toolbox
    max_turns: int
    business: Business = field(default_factory=Business)
    outside_tools: frozenset[str] = frozenset()
    limits: Callable[[str], Limits] = lambda question: NO_LIMITS
    failpoint: Callable[[str], None] = lambda name: None
    messages_of_history: Messages | None = None
    pick_tools: Callable[[Toolbox], Toolbox] = lambda tools: tools
    asked_with: dict[str, Any] = field(default_factory=dict)
    question_prompts: Mapping[str, str] = field(default_factory=dict)

    def step(self, steps: Sequence[Step], kind: str, body: dict[str, Any]) -> list[Step]:
        """The activation's steps with one more."""
        return [*steps, Step(self.run_id, self.first_step + len(steps), kind, body)]

    @cached_property
    def own(self) -> Sequence[Step]:
        """The run's steps before this activation."""
        return [s for s in self.history if s.run_id == self.run_id]

    @cached_property
    def messages(self) -> Messages:
        """The conversation before this activation."""
        return self.messages_of_history or Messages(conversation(self.history))

    @cached_property
    def turns(self) -> int:
        """Model turns of the run before this activation."""
        return turns_of(self.own, self.run_id)

    def remember(self, prompt: str, tools: Toolbox) -> None:
        """Note what a request is made with, so that it can be rebuilt and compared later."""
        self.asked_with.setdefault(sha256_json(prompt), prompt)
        if tools.sha256 not in self.asked_with:
            self.asked_with[tools.sha256] = tools.document()
