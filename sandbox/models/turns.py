"""A request to a model and its answer, apart from any provider's wire: what a role player reads, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the request offers it."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One text of the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a turn. `raw` is what stands in the place of arguments that are no JSON object."""

    tool: str
    arguments: Mapping[str, Any]
    id: str = ""
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the model. `stop` is why it ended when that is neither its end nor its calls.

    `stop`: refusal, max_tokens, malformed. `why` explains a refusal.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    stop: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one call."""

    call_id: str
    tool: str
    content: str
    is_error: bool = False


Message = Said | Turn | Result


@dataclass(frozen=True, slots=True)
class Question:
    """Everything of a request that a model would go by."""

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    max_tokens: int
    must_call: bool = False
    thinks: bool = False


class Player:
    """Who answers. `agent` names the role that a system prompt is of, "" for none; `aliases` are other names of agents."""

    def __init__(
        self,
        play: Callable[[Question], Turn],
        agent: Callable[[str], str] = lambda system: "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.play = play
        self.agent = agent
        self.aliases = aliases or {}


class Refused(Exception):
    """A request that the provider does not take. `param` and `code` are what some providers say besides."""

    def __init__(self, status: int, kind: str, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """A request with something wrong in it."""
    return Refused(400, "invalid_request_error", message, param=param, code=code)


def words(text: str) -> set[str]:
    """The words of a text: names of parameters."""
    return set(text.split())
