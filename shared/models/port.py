"""What the runtime asks of a model and what it gets back, whoever answers. Adapters translate; nothing else knows wires."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import orjson

from shared.errors import VioxError

StopReason = Literal["end", "tool_calls", "max_tokens", "refusal", "other"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it. `input_schema` is a JSON Schema of type object."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelToolCall:
    """One call in a model's turn. `provider_id` joins it to its result inside the conversation and nowhere else."""

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


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model: everything it will see."""

    model: str
    system: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096

    def parts(self) -> dict[str, Any]:
        """A JSON-able form, equal for equal requests: what `replay` compares."""
        return {
            "model": self.model,
            "max_output_tokens": self.max_output_tokens,
            "system": self.system,
            "tools": [asdict(tool) for tool in self.tools],
            "messages": [{"role": type(m).__name__, **asdict(m)} for m in self.messages],
        }

    def digest(self) -> str:
        return sha256_json(self.parts())


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
    """A model's turn, with who answered, what it cost in tokens, and how many requests it took."""

    message: AssistantMessage
    stop: StopReason
    requested_model: str
    answering_model: str
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    attempts: int = 1
    latency_ms: float = 0.0
    refusal: str | None = None


class ChatModel(Protocol):
    """A model that answers. Raises ModelError when it does not."""

    provider: str
    model: str

    async def complete(self, request: ChatRequest) -> ChatReply: ...

    async def aclose(self) -> None: ...


class ModelError(VioxError):
    """A model call that gave no answer. `retry_after` is in seconds, when the provider said so."""

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
        self.retry_after = retry_after
        self.attempts = attempts


def sha256_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
