"""What goes wrong at the model servers, and for whom: by request, by file, or at any time over HTTP.

One fault is a JSON object. `kind` is all that must be there:

    429 500 503 529         the provider's own error (`retry_after`: seconds, as a header)
    cut                     the connection ends before an answer
    cut_after               the turn was made; the connection ends in the middle of the answer
    slow                    the answer comes after `seconds`
    no_json                 a page of HTML with status 200
    wrong_tool              a call of a tool that is not there (`tool` names it)
    bad_arguments           the turn's first call with arguments that are no JSON (Anthropic: none of the tool's own)
    endless                 the turn before this one again, for ever
    refusal                 the model declines (`text` says why)
    empty                   neither text nor calls
    cut_off                 the limit of output tokens is reached in the middle
    malformed               the provider threw away a call that it could not read
    injected                the model does what a text in its conversation tells it: `call TOOL with {JSON}`
    says                    the turn is `text`, whatever was asked

Which requests it meets: `agent` (closer, or its role: sales), `provider`, `model` (the beginning of its name), `request` (the
how-maniest of those, from 1 on), `count` (how many from there on, 1 unless said; 0 for all), `chance` (of each, by the seed).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from random import Random
from typing import Any

from sandbox.models.limits import BYTES_PER_TOKEN
from sandbox.models.turns import Call, Question, Result, Said, Turn

STATUSES = ("429", "500", "503", "529")
WIRE_KINDS = (*STATUSES, "cut", "cut_after", "slow", "no_json")
TURN_KINDS = ("wrong_tool", "bad_arguments", "endless", "refusal", "empty", "cut_off", "malformed", "injected", "says")
ORDER = re.compile(r"call (?:the tool )?([a-zA-Z0-9_-]{1,64}) with (\{)", re.IGNORECASE)


class BadFault(ValueError):
    """A fault that nothing could be done with."""


@dataclass
class Fault:
    """One fault, and how many requests it has seen and met so far."""

    kind: str
    agent: str | None = None
    provider: str | None = None
    model: str = ""
    request: int = 1
    count: int = 1
    chance: float = 1.0
    seconds: float = 1.0
    retry_after: float | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] | None = None
    text: str = ""
    seen: int = field(default=0, init=False)
    met: int = field(default=0, init=False)

    def takes(self, names: Iterable[str], provider: str, model: str, random: Random) -> bool:
        """Whether this request meets it. Counts the request."""
        if (self.agent and self.agent not in names) or (self.provider and self.provider != provider):
            return False
        if not model.startswith(self.model):
            return False
        self.seen += 1
        last = self.request + self.count - 1
        if self.seen < self.request or (self.count and self.seen > last) or random.random() >= self.chance:
            return False
        self.met += 1
        return True

    def document(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Faults:
    """All that is to go wrong, in the order in which it was said: a request meets the first that takes it."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(f"faults {seed}")
        self.all: list[Fault] = []

    def add(self, given: Any) -> None:
        """Take in one fault, or a list of them. Raises BadFault, and takes in none, when one is not to be understood."""
        self.all += [fault_of(one) for one in (given if isinstance(given, list) else [given])]

    def load(self, file: Path) -> None:
        """Those of a file with a JSON array."""
        try:
            given = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise BadFault(f"{file} cannot be read: {error}") from error
        self.add(given)

    def next(self, names: Iterable[str], provider: str, model: str) -> Fault | None:
        """What this request meets. Every fault counts it."""
        who = set(names)
        taken = [fault for fault in self.all if fault.takes(who, provider, model, self._random)]
        return taken[0] if taken else None


def fault_of(given: Any) -> Fault:
    """Raises BadFault naming what is wrong."""
    known = {f.name for f in fields(Fault) if f.init}
    if not isinstance(given, dict) or given.get("kind") not in (*WIRE_KINDS, *TURN_KINDS):
        raise BadFault(f"kind must be one of {', '.join((*WIRE_KINDS, *TURN_KINDS))}")
    if strange := sorted(given.keys() - known):
        raise BadFault(f"{strange[0]!r} is no part of a fault; known are {', '.join(sorted(known))}")
    fault = Fault(**given)
    for name, least in (("request", 1), ("count", 0)):
        if not isinstance(getattr(fault, name), int) or getattr(fault, name) < least:
            raise BadFault(f"{name} must be a whole number from {least} on")
    for name in ("chance", "seconds"):
        if not isinstance(getattr(fault, name), int | float) or getattr(fault, name) < 0:
            raise BadFault(f"{name} must be a number that is not negative")
    return fault


def spoiled(turn: Turn, fault: Fault, question: Question) -> Turn:
    """The turn as the fault makes it. Faults of the wire change nothing here."""
    match fault.kind:
        case "wrong_tool":
            return Turn(calls=(Call(fault.tool or "file_open", fault.arguments or {}),))
        case "bad_arguments":
            return _with_bad_arguments(turn, question)
        case "endless":
            return _again(turn, question)
        case "refusal":
            return Turn(stop="refusal", why=fault.text or "I cannot help with that.")
        case "empty":
            return Turn()
        case "cut_off":
            return _cut_in_the_middle(turn)
        case "malformed":
            return Turn(stop="malformed")
        case "injected":
            ordered = _ordered(question)
            return Turn(calls=(ordered,)) if ordered else turn
        case "says":
            return Turn(fault.text)
        case _:
            return turn


def cut_to(turn: Turn, tokens: int) -> Turn:
    """The turn within a limit of tokens: as it is, or without its end."""
    room = tokens * BYTES_PER_TOKEN
    text = turn.text.encode()[:room].decode(errors="ignore")
    room -= len(text.encode())
    whole = text == turn.text
    calls: list[Call] = []
    for call in turn.calls:
        room -= len(call.tool) + len(json.dumps(dict(call.arguments)))
        if room < 0:
            whole = False
            break
        calls.append(call)
    return turn if whole else replace(turn, text=text, calls=tuple(calls), stop="max_tokens")


def _cut_in_the_middle(turn: Turn) -> Turn:
    """Half of the last thing it says: of its last call, or of its text."""
    if not turn.calls:
        return replace(turn, text=turn.text[: len(turn.text) // 2], stop="max_tokens")
    written = json.dumps(dict(turn.calls[-1].arguments))
    half = replace(turn.calls[-1], raw=written[: len(written) // 2])
    return replace(turn, calls=(*turn.calls[:-1], half), stop="max_tokens")


def _with_bad_arguments(turn: Turn, question: Question) -> Turn:
    tool = turn.calls[0].tool if turn.calls else question.tools[0].name if question.tools else "file_open"
    return Turn(turn.text, (Call(tool, {}, raw='{"id": "1", "oops'), *turn.calls[1:]))


def _again(turn: Turn, question: Question) -> Turn:
    """What it called last, or what it would call now; a tool it has, when it never called one."""
    turns = [m for m in question.messages if isinstance(m, Turn) and m.calls]
    calls = (turns[-1] if turns else turn).calls or tuple(Call(tool.name, {}) for tool in question.tools[:1])
    return Turn(calls=tuple(replace(call, id="") for call in calls[:1]))


def _ordered(question: Question) -> Call | None:
    """The newest order that stands in a text of the conversation, wherever that came from."""
    for message in reversed(question.messages):
        text = message.text if isinstance(message, Said) else message.content if isinstance(message, Result) else ""
        for found in ORDER.finditer(text.replace('\\"', '"')):
            try:
                arguments, _ = json.JSONDecoder().raw_decode(text.replace('\\"', '"'), found.start(2))
            except ValueError:
                continue
            return Call(found[1], arguments)
    return None
