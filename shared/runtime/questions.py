"""Questions to a model: what a node of a role asks where a rule cannot decide.

A question is put apart from the conversation: its prompt, what the node gives it, and nothing else. A typed answer comes as
a call of the tool `answer`, whose arguments fit the type; no gateway ever sees that call. What is given is written as JSON
inside of tags, so that no text in it can end its own section; what people outside the business wrote is marked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from shared.models.port import AssistantMessage, Toolbox, ToolSpec, sha256_json
from shared.models.turns import Problem
from shared.runtime.calls import ANSWER_TOOL

A = TypeVar("A")
INVALID_ANSWER = "model.invalid_answer"
LONGEST_TOLD = 600
MOST_TOOLBOXES = 500


@dataclass(frozen=True)
class Question(Generic[A]):
    """One question. `name` is its own within the agent; `answer` is `str`, or a pydantic model of the answer's fields.

    `tools` are those the model may use to find its answer, of which it has `turns` turns; `optional`: the work goes on without
    an answer when there is none; `conversation`: the model sees what happened in the conversation so far.
    """

    name: str
    prompt: str
    answer: type[A]
    tools: tuple[str, ...] = ()
    turns: int = 1
    max_output_tokens: int = 2048
    optional: bool = False
    conversation: bool = False

    @property
    def is_typed(self) -> bool:
        return issubclass(self.answer, BaseModel)

    @cached_property
    def answer_tool(self) -> ToolSpec | None:
        """The tool by which a typed answer is given."""
        if not issubclass(self.answer, BaseModel):
            return None
        return ToolSpec(ANSWER_TOOL, f"Give your answer to the question {self.name}.", self.answer.model_json_schema())

    @cached_property
    def identity(self) -> str:
        tool = self.answer_tool
        return sha256_json([self.name, self.tools, tool.input_schema if tool else None])

    def system(self, role: str, prompt: str | None = None) -> str:
        """The system prompt: who the role is, then what is asked (or what is asked instead)."""
        how = " Give your answer by calling the tool `answer`, alone and once." if self.is_typed else ""
        return f"{role}\n\n# Question: {self.name}\n{(prompt or self.prompt).strip()}{how}\n"

    def read(self, message: AssistantMessage) -> A:
        """The answer in a turn. Raises ValueError saying what is wrong with it."""
        if not issubclass(self.answer, BaseModel):
            return message.text  # type: ignore[return-value]  # the type is str
        given = [c for c in message.calls if c.tool == ANSWER_TOOL]
        if not given:
            raise ValueError("the tool `answer` was not called")
        try:
            return self.answer.model_validate(given[0].arguments)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[:3]
            said = "; ".join(f"{'.'.join(str(p) for p in one['loc']) or 'answer'}: {one['msg']}" for one in first)
            raise ValueError(said) from error

    def problem_of(self, message: AssistantMessage) -> Problem | None:
        """What is wrong with a turn that should be the answer. A turn that uses other tools first is none yet."""
        if not self.is_typed or (message.calls and all(c.tool != ANSWER_TOOL for c in message.calls)):
            return None
        try:
            self.read(message)
        except ValueError as error:
            wrong = str(error)[:LONGEST_TOLD]
            return Problem(
                INVALID_ANSWER,
                f"the answer to {self.name} is not usable: {wrong}.",
                f"Your answer was not usable: {wrong}. Call the tool `answer` once, with arguments that fit its schema.",
                "Name another model for the role in VIOX_MODELS.",
            )
        return None


def questions_in(module: ModuleType) -> dict[str, Question[Any]]:
    """The questions that a role's `prompts.py` defines, by name, in its order."""
    return {one.name: one for one in vars(module).values() if isinstance(one, Question)}


_toolboxes: dict[tuple[str, str], Toolbox] = {}


def toolbox(question: Question[Any], tools: Toolbox) -> Toolbox:
    """What a question is put with: its tools of those granted, and `answer`. Made once, because its digest is asked for."""
    key = (tools.sha256, question.identity)
    if key not in _toolboxes:
        if len(_toolboxes) >= MOST_TOOLBOXES:
            _toolboxes.clear()
        more = [question.answer_tool] if question.answer_tool else []
        _toolboxes[key] = Toolbox([*(tool for tool in tools if tool.name in question.tools), *more])
    return _toolboxes[key]


def rendered(question: str, given: Mapping[str, Any], outside: Mapping[str, Any]) -> str:
    """What a node gives a question, as the model reads it. `outside` is what people outside the business wrote."""
    parts = [f'<question name="{question}">']
    parts += [f"<{name}>\n{_json(value)}\n</{name}>" for name, value in given.items()]
    parts += [f'<{name} from="outside">\n{_json(value)}\n</{name}>' for name, value in outside.items()]
    return "\n".join([*parts, "</question>"])


def _json(value: Any) -> str:
    """JSON without an angle bracket, so that no text in it can end a section."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = orjson.dumps(plain, default=str, option=orjson.OPT_INDENT_2).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
