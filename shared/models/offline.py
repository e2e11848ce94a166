"""The model that is none: a role's deterministic policy behind the same port, so that everything runs without a key.

It is called `offline` wherever it shows. It gets the request an adapter would send, and no other knowledge.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import orjson

from shared.models.port import AssistantMessage, ChatReply, ChatRequest, ModelToolCall, ToolMessage, Usage, UserMessage

OFFLINE = "offline"


class Policy(Protocol):
    """A deterministic stand-in for a model: it sees what an adapter would send, and nothing else."""

    def __call__(self, request: ChatRequest) -> AssistantMessage: ...


class OfflineModel:
    """Answers with what the role's policy decides. Costs nothing; token counts are estimates of four bytes each."""

    provider = OFFLINE
    model = OFFLINE

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def complete(self, request: ChatRequest) -> ChatReply:
        started = time.perf_counter()
        message = self._policy(request)
        return ChatReply(
            message=message,
            stop="unable" if isinstance(message, Unable) else "tool_calls" if message.calls else "end",
            requested_model=OFFLINE,
            answering_model=OFFLINE,
            usage=Usage(input=_size(request) // 4, output=(len(message.text) + 40 * len(message.calls)) // 4),
            latency_ms=(time.perf_counter() - started) * 1000,
        )

    async def aclose(self) -> None:
        """Nothing is open."""


def _size(request: ChatRequest) -> int:
    shown = 0
    for m in request.messages:
        shown += len(m.content) if isinstance(m, ToolMessage) else len(m.text)
    return len(request.system) + shown


# -- what policies are written with ---------------------------------------------------------------------------------


def say(text: str) -> AssistantMessage:
    """End the turn with a text."""
    return AssistantMessage(text, provider=OFFLINE)


class Unable(AssistantMessage):
    """A turn that says what the policy has no rule for. The run fails with it: nothing was done."""


def cannot(why: str) -> AssistantMessage:
    """End the run: no rule of the role covers what is asked. `why` says what the rules do cover."""
    return Unable(f"[offline] Cannot do this offline: {why}", provider=OFFLINE)


class Asked:
    """A question of a node, as its answer without a model may read it: what was given, and the results of tools since."""

    def __init__(self, request: ChatRequest, name: str, text: str) -> None:
        self.request = request
        self.name = name
        self._sections = {tag: orjson.loads(body) for tag, body in _SECTION.findall(text)}

    def given(self, name: str) -> Any:
        """What a section holds; None when there is none of this name."""
        return self._sections.get(name)

    def results(self, tool: str) -> list[Any]:
        """What a tool answered, where the question was given tools."""
        found = (m for m in self.request.messages if isinstance(m, ToolMessage) and m.tool == tool and not m.is_error)
        return [orjson.loads(m.content) for m in found]


_QUESTION = re.compile(r'<question name="([^"]+)">\n')
_SECTION = re.compile(r'<(\w+)(?: from="outside")?>\n(.*?)\n</\1>', re.DOTALL)


def asked_in(request: ChatRequest) -> Asked | None:
    """The question that a request puts; None when it is one of an open loop."""
    for message in reversed(request.messages):
        if isinstance(message, UserMessage) and (found := _QUESTION.match(message.text)):
            return Asked(request, found.group(1), message.text)
    return None


def answers(
    by_question: Mapping[str, Callable[[Asked], AssistantMessage]],
    *,
    otherwise: str | Callable[[ChatRequest], AssistantMessage],
) -> Policy:
    """A role's policy: its answers by question. `otherwise` answers open loops, or says what the role can do without a model."""

    def policy(request: ChatRequest) -> AssistantMessage:
        asked = asked_in(request)
        if asked and asked.name == "history":
            return say(_in_short(request))
        if asked and asked.name in by_question:
            return by_question[asked.name](asked)
        return cannot(otherwise) if isinstance(otherwise, str) else otherwise(request)

    return policy


def _in_short(request: ChatRequest) -> str:
    """The beginnings of what came in, the newest last: no more can be done without a model."""
    came = [m.text.partition("\n")[0][:200] for m in request.messages if isinstance(m, UserMessage)]
    return "[offline] " + " | ".join(came[:-1][-20:])


def answer(request: ChatRequest, **fields: Any) -> AssistantMessage:
    """A typed answer."""
    return call(request, ("answer", fields))


def call(request: ChatRequest, *wanted: tuple[str, dict[str, Any]], text: str = "") -> AssistantMessage:
    """Ask for tools. Ids count the calls of the conversation, as a provider's would be unique in it."""
    made = sum(len(m.calls) for m in request.messages if isinstance(m, AssistantMessage))
    calls = tuple(ModelToolCall(f"call_{made + n}", tool, arguments) for n, (tool, arguments) in enumerate(wanted))
    return AssistantMessage(text, calls, OFFLINE)


def call_missing(request: ChatRequest, seen: Seen, *wanted: tuple[str, dict[str, Any]]) -> AssistantMessage | None:
    """Ask together for those of these tools that are granted and were not called since the trigger; None when none is left."""
    left = [(tool, arguments) for tool, arguments in wanted if tool in seen.tools and not seen.called(tool)]
    return call(request, *left) if left else None


class Seen:
    """What a policy may read: the conversation since the latest trigger, as JSON where it is JSON."""

    def __init__(self, request: ChatRequest) -> None:
        self.tools = {tool.name for tool in request.tools}
        self._messages = request.messages
        starts = [i for i, m in enumerate(self._messages) if isinstance(m, UserMessage) and _starts_run(m.text)]
        self._start = starts[-1] if starts else 0

    @property
    def trigger(self) -> str:
        """Text of the newest event or task."""
        first = self._messages[self._start]
        return first.text if isinstance(first, UserMessage) else ""

    def task(self) -> str:
        """The words of the newest task; nothing when an event came."""
        text = self.trigger
        return text.removeprefix("Task: ").partition("\nContext:\n")[0] if text.startswith("Task: ") else ""

    def event(self, *, whole: bool = False) -> tuple[str, dict[str, Any]]:
        """(type, data) of the newest event, or of the conversation's first one with `whole`. ("", {}) for a task."""
        texts = [m.text for m in self._messages if isinstance(m, UserMessage) and _starts_run(m.text)]
        return parse_event(texts[0] if whole else self.trigger)

    def notes(self) -> str:
        """Text of all notes since the trigger."""
        recent = self._messages[self._start :]
        return "\n".join(m.text for m in recent if isinstance(m, UserMessage) and m.text.startswith("[note]"))

    def facts(self) -> dict[str, Any]:
        """The JSON of all notes since the trigger, merged."""
        found: dict[str, Any] = {}
        for line in self.notes().splitlines():
            found |= orjson.loads(line.removeprefix("[note] "))
        return found

    def results(self, tool: str | None = None, *, whole: bool = False) -> Iterator[tuple[dict[str, Any], Any, bool]]:
        """(arguments, result, failed) of each finished call, oldest first; since the trigger unless `whole`."""
        arguments: dict[str, tuple[str, dict[str, Any]]] = {}
        for message in self._messages if whole else self._messages[self._start :]:
            if isinstance(message, AssistantMessage):
                arguments |= {c.provider_id: (c.tool, c.arguments or {}) for c in message.calls}
            elif isinstance(message, ToolMessage) and tool in (None, message.tool):
                _, given = arguments.get(message.provider_id, (message.tool, {}))
                yield given, orjson.loads(message.content), message.is_error

    def result(self, tool: str, *, whole: bool = False) -> Any:
        """The last successful result of a tool, or None."""
        found = None
        for _, result, failed in self.results(tool, whole=whole):
            if not failed:
                found = result
        return found

    def called(self, tool: str) -> bool:
        return any(True for _ in self.results(tool))

    def trouble(self) -> str:
        """A sentence about what did not work, or nothing."""
        failures = self.failures()
        return f" Did not work: {'; '.join(one.rstrip('. ') for one in failures)}." if failures else ""

    def failures(self) -> list[str]:
        """Messages of calls that failed since the trigger."""
        return [str(r.get("message", r)) for _, r, failed in self.results() if failed and isinstance(r, dict)]


def _starts_run(text: str) -> bool:
    return text.startswith(("Event ", "Task: "))


def parse_event(text: str) -> tuple[str, dict[str, Any]]:
    """Type and data of a rendered event; ("", {}) when the text is a task."""
    if not text.startswith("Event "):
        return "", {}
    head, _, body = text.partition("\n")
    data = orjson.loads(body)
    return head.split(" ", 2)[1], data if isinstance(data, dict) else {}
