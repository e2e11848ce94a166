"""What the runtime asks of a model and what it gets back, whoever answers. Adapters translate; nothing else knows wires."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson

from shared.errors import VioxError

if TYPE_CHECKING:
    from shared.telemetry.genai import Asker

# `malformed`: the provider itself threw away a call that it could not read. `other`: a reason nobody here has heard of.
StopReason = Literal["end", "tool_calls", "max_tokens", "refusal", "context_exceeded", "malformed", "unable", "other"]
Thinking = Literal["off", "low", "medium", "high"]
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider takes, in a list of tools and in a history


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `input_schema` is a JSON Schema of type object."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelToolCall:
    """One call in a model's turn. `provider_id` joins it to its result inside the conversation and nowhere else.

    Adapters see to it that it is unique there, whatever the provider sent. `tool` is as it came: it may name nothing.
    """

    provider_id: str
    tool: str
    arguments: dict[str, Any] | None
    raw_arguments: str | None = None  # as received, when it was not a JSON object
    provider_extra: dict[str, Any] | None = None  # opaque (Gemini's thought signature), returned unchanged


@dataclass(frozen=True, slots=True)
class UserMessage:
    text: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """A turn of the model. `provider_extra` is the provider's own form of it, for the provider that made it."""

    text: str
    calls: tuple[ModelToolCall, ...] = ()
    provider: str = ""
    provider_extra: Any = None


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """The result of one call."""

    provider_id: str
    tool: str
    content: str
    is_error: bool = False


ChatMessage = UserMessage | AssistantMessage | ToolMessage


class Toolbox(tuple[ToolSpec, ...]):
    """The tools of an agent, with their digest at hand."""

    def document(self) -> list[dict[str, Any]]:
        """As JSON, equal for equal tools."""
        return [asdict(tool) for tool in self]

    @cached_property
    def sha256(self) -> str:
        return sha256_json(self.document())

    @cached_property
    def size(self) -> int:
        """Bytes, as JSON."""
        return len(orjson.dumps(self.document()))


class Messages:
    """A conversation that only grows, with the digest of all of it: adding costs what is added, however long it is."""

    __slots__ = ("_digest", "_said", "size")

    def __init__(self, messages: Iterable[ChatMessage] = ()) -> None:
        self._said: list[ChatMessage] = []
        self._digest = hashlib.sha256()
        self.size = 0  # bytes, as JSON
        self.extend(messages)

    def extend(self, messages: Iterable[ChatMessage]) -> None:
        for message in messages:
            self._said.append(message)
            written = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
            self._digest.update(type(message).__name__.encode() + written + b"\n")
            self.size += len(written)

    def copy(self) -> Messages:
        """One that grows independently."""
        made = Messages()
        made._said, made._digest, made.size = self._said.copy(), self._digest.copy(), self.size
        return made

    def all(self) -> tuple[ChatMessage, ...]:
        return tuple(self._said)

    def sha256(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model: everything it will see. `messages_sha256` and `messages_bytes` spare a look at every message.

    `tries` counts the turns before this one that could not be used, `after` is the code of what was wrong with the last.
    Neither is part of the digest: what they change is in the messages and the limit. `must_call`: the turn has to call one of
    its tools, where the model can be made to; else it is only asked. `thinking`: how much it may think first, where it can.
    `asker`: whose span the answer belongs under, where the run is traced; models see nothing of it.
    """

    model: str
    system: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096
    messages_sha256: str | None = field(default=None, compare=False)
    messages_bytes: int | None = field(default=None, compare=False)
    tries: int = 0
    after: str | None = None
    must_call: bool = False
    thinking: Thinking | None = None
    asker: Asker | None = field(default=None, compare=False, repr=False)

    def digest(self) -> str:
        """Equal for equal requests: what `replay` compares. What was added later counts only where it is used."""
        document: dict[str, Any] = {
            "model": self.model,
            "max_output_tokens": self.max_output_tokens,
            "system": sha256_json(self.system),
            "tools": self.toolbox.sha256,
            "messages": self.messages_sha256 or Messages(self.messages).sha256(),
        }
        if self.must_call:
            document["must_call"] = True
        if self.thinking is not None:
            document["thinking"] = self.thinking
        return sha256_json(document)

    @property
    def toolbox(self) -> Toolbox:
        return self.tools if isinstance(self.tools, Toolbox) else Toolbox(self.tools)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `input` is all input; the cache figures are parts of it. `reasoning` is part of `output`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's turn, with who answered, what it cost in tokens, and how many requests it took.

    `shortened` says how the conversation was made to fit, when it was. `has_fallback`: another model could be asked.
    """

    message: AssistantMessage
    stop: StopReason
    requested_model: str
    answering_model: str
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    attempts: int = 1
    latency_ms: float = 0.0
    refusal: str | None = None
    shortened: dict[str, Any] | None = None
    has_fallback: bool = False


class ChatModel(Protocol):
    """A model that answers. Raises ModelError when it does not."""

    provider: str
    model: str

    async def complete(self, request: ChatRequest) -> ChatReply: ...

    async def aclose(self) -> None: ...


LONGEST_RETRY_AFTER_SECONDS = 300.0


# Errors that say that the provider did nothing. After any other one the turn may have been made, and paid for.
NOT_MADE = frozenset(
    [
        "model.rate_limited",
        "model.authentication",
        "model.no_credit",
        "model.ended",
        "model.bad_request",
        "model.context_exceeded",
    ]
)


class ModelError(VioxError):
    """A model call that gave no answer. `retry_after` is in seconds, when the provider said so and it makes sense.
    `may_have_been_made`: this attempt, or one before it, may have cost something.

    It comes from outside: what is not a number of seconds is as good as nothing said, and five minutes are the most.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        field: str | None = None,
        remedy: str | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(code, message, field=field, remedy=remedy)
        self.retryable = retryable
        sensible = retry_after is not None and math.isfinite(retry_after)
        self.retry_after = min(max(retry_after or 0.0, 0.0), LONGEST_RETRY_AFTER_SECONDS) if sensible else None
        self.attempts = attempts
        self.may_have_been_made = code not in NOT_MADE


def sha256_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def canonical_json(value: Any) -> bytes:
    """A JSON value in the one form whose digest `sha256_json` is."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
