"""What both adapters need between our messages and a provider's: ids and names it takes, and answers read as they come.

Conversations hold turns of several providers, and each has rules for call ids and tool names in a history. Answers come
from compatible servers of every quality: nothing in one is relied on before it was looked at.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NoReturn

import orjson

from shared.models.port import AssistantMessage, ChatMessage, ModelError, ModelToolCall, ToolMessage, UserMessage

Arguments = Callable[[str, dict[str, Any]], dict[str, Any]]  # (tool, its arguments) → them under other names
NOTHING = "(nothing)"  # stands where a provider refuses an empty or blank text
LONGEST_NAME = 64
SHOWN_PAGE = 120
FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\s*```\s*", re.DOTALL | re.IGNORECASE)
# Servers without a reasoning parser leave the model's thoughts in the text, the opening mark sometimes with the prompt.
THOUGHTS = re.compile(
    r"\s*<(think|thinking|thought)>.*?</\1>\s*|\s*<think>.*\Z|(?:(?!<think>).)*?</think>[ \t]*(?:\r?\n\s*|\Z)",
    re.DOTALL | re.IGNORECASE,
)

# provider → (ids that it takes, what a made one begins with, length of the rest). OpenAI's own limit is 40 characters.
ID_RULES = {
    "anthropic": (re.compile(r"[a-zA-Z0-9_-]{1,64}"), "toolu_", 24),
    "mistral": (re.compile(r"[a-zA-Z0-9]{9}"), "", 9),
}
ANY_ID = (re.compile(r"[\x21-\x7e]{1,40}"), "call_", 24)


# -- what goes out ------------------------------------------------------------------------------------------------------


def prepared(
    conversation: Iterable[ChatMessage], provider: str, arguments: Arguments = lambda tool, given: given
) -> list[ChatMessage]:
    """The conversation with ids and names that the provider takes, each call followed by exactly one result.

    `arguments` gives those of a call under the names that the request's tools have for them.
    """
    made: list[ChatMessage] = []
    taken: set[str] = set()
    waiting: list[tuple[str, ModelToolCall]] = []  # (id on record, call as sent) without a result so far
    for message in conversation:
        if isinstance(message, ToolMessage):
            found = next((n for n, (on_record, _) in enumerate(waiting) if on_record == message.provider_id), None)
            if found is not None:
                _, call = waiting.pop(found)
                made.append(replace(message, provider_id=call.provider_id, tool=call.tool))
            continue
        made += [ToolMessage(c.provider_id, c.tool, '{"state":"unknown"}', is_error=True) for _, c in waiting]
        waiting = []
        if isinstance(message, AssistantMessage) and message.calls:
            calls = tuple(_sendable(c, provider, taken, arguments) for c in message.calls)
            waiting = list(zip([c.provider_id for c in message.calls], calls, strict=True))
            made.append(replace(message, calls=calls))
        else:
            made.append(message)
    return made


def _sendable(call: ModelToolCall, provider: str, taken: set[str], arguments: Arguments) -> ModelToolCall:
    wire_id = wire_call_id(call.provider_id, provider, taken)
    taken.add(wire_id)
    given = arguments(call.tool, call.arguments or {})
    return replace(call, provider_id=wire_id, tool=wire_tool_name(call.tool, provider), arguments=given)


def wire_call_id(given: str, provider: str, taken: set[str]) -> str:
    """The id itself when the provider takes it, else one made of it: the same in every request of the conversation."""
    pattern, start, length = ID_RULES.get(provider, ANY_ID)
    wire_id, again = given, 0
    while not pattern.fullmatch(wire_id) or wire_id in taken:
        wire_id = start + hashlib.sha256(f"{again}:{given}".encode(errors="replace")).hexdigest()[:length]
        again += 1
    return wire_id


def wire_tool_name(name: str, provider: str) -> str:
    """The name itself when providers take it, else the nearest one: a model may have invented it."""
    cleaned = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:LONGEST_NAME] or "unnamed"
    if provider == "gemini" and not (cleaned[0].isalpha() or cleaned[0] == "_"):
        return f"_{cleaned}"[:LONGEST_NAME]
    return cleaned


# -- what comes back ----------------------------------------------------------------------------------------------------


def document(provider: str, answer: Any) -> dict[str, Any]:
    """An answer as the JSON object it should be, with the SDK's `_request_id`. Raises ModelError.

    SDKs hand over a text where the content type is not JSON's.
    """
    if hasattr(answer, "to_dict"):
        request_id = getattr(answer, "_request_id", None)
        answer = answer.to_dict(mode="json", warnings=False) | {"_request_id": request_id}
    elif isinstance(answer, str):
        try:
            answer = json.loads(answer.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            raise_bad_answer(provider, f"a page instead of JSON: {answer.strip()[:SHOWN_PAGE]!r}")
    if not isinstance(answer, dict):
        raise_bad_answer(provider, f"{type(answer).__name__} instead of a JSON object")
    return answer


def raise_bad_answer(provider: str, what: str) -> NoReturn:
    raise ModelError("model.bad_answer", f"{provider} answered with {what}.", retryable=True)


def an_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; a single one that should have been in a list counts as one."""
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, dict)]


def a_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def a_count(value: Any) -> int:
    """A number of tokens; 0 for whatever is none."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return max(int(value), 0) if usable else 0


def text_of(content: Any) -> str:
    """The text of a content that is one, or is made of parts. Images, sounds and thoughts are no text."""
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, dict) else content if isinstance(content, list) else []
    return "".join(
        part if isinstance(part, str) else a_text(part.get("text"))
        for part in parts
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"))
    )


def without_thoughts(text: str) -> str:
    """What a model says after the thoughts that its text begins with."""
    found = THOUGHTS.match(text)
    return text[found.end() :] if found else text


def arguments_of(given: Any) -> tuple[dict[str, Any] | None, str | None]:
    """(arguments, None), or (None, what came) when it is no JSON object that every part of the system can carry exactly.

    Some servers encode twice, send an object, leave a comma before a bracket, break lines within a text, put a fence of
    Markdown around it, or send nothing, null or an empty list for a tool without arguments.
    """
    value = given
    for _ in range(2):
        if value is None or (isinstance(value, str) and value.strip() in ("", "null")):
            return {}, None
        if isinstance(value, str):
            value = _loads(value)
            if value is None:
                break
    if value == []:  # an empty object of PHP
        value = {}
    if isinstance(value, dict) and _exact(value):
        return value, None
    return None, given if isinstance(given, str) else str(given)


def own_ids(calls: Iterable[ModelToolCall], conversation: Iterable[ChatMessage]) -> list[ModelToolCall]:
    """The calls of a new turn, each with an id that no other call of the conversation has."""
    taken = {c.provider_id for m in conversation if isinstance(m, AssistantMessage) for c in m.calls}
    made: list[ModelToolCall] = []
    for call in calls:
        name, number = call.provider_id, len(taken)
        while not name or name in taken:
            name, number = f"call_{number}", number + 1
        taken.add(name)
        made.append(call if name == call.provider_id else replace(call, provider_id=name))
    return made


def not_sent(call: ModelToolCall, why: str) -> ModelToolCall:
    """A call that came, and will not be made."""
    return replace(call, arguments=None, raw_arguments=why)


def starts_with_user(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Providers refuse a conversation that the model begins."""
    return messages if messages and isinstance(messages[0], UserMessage) else [UserMessage(NOTHING), *messages]


def _loads(text: str) -> Any:
    """The JSON value of a text that may have line breaks and tabs within its strings; None when it is none."""
    fenced = FENCED.fullmatch(text)
    text = fenced[1] if fenced else text
    for candidate in (text, _without_trailing_commas(text)):
        try:
            return json.loads(candidate.lstrip("\ufeff"), parse_constant=_refuse, parse_float=_finite, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _without_trailing_commas(text: str) -> str:
    return re.sub(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', lambda found: found[1] or "", text)


def _exact(value: Any) -> bool:
    """Python reads integers of any size and half characters, and nothing of ours can write them."""
    try:
        orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
