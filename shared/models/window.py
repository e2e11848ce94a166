"""Keep a request within a model's window: shorten what is sent, never what is on record.

Deterministic, so that replay makes the same of the same conversation: single results have a limit of their own; when the
whole is still too long, old results are shortened first, then the oldest turns are left out together with the results of
their calls, then what must stay (the instructions of the current run, the newest turn) is cut in its middle. What is freed
is a multiple of a quarter of the budget, so that the beginning of the request stays the same for many turns and providers'
caches keep working.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.models.port import (
    AssistantMessage,
    ChatMessage,
    ChatReply,
    ChatRequest,
    Messages,
    ModelError,
    ToolMessage,
    UserMessage,
)
from shared.models.turns import CONTEXT_EXCEEDED

BYTES_PER_TOKEN = 3  # of JSON; prose has about four, Chinese about three
MOST_BYTES_PER_TOKEN = 4
RESULT_BYTES = 64_000  # one result of a tool, about 20,000 tokens
STUB_BYTES = 600
SMALLEST_BUDGET = 8_000  # bytes of a conversation
HALVINGS = 3  # of the budget when the provider counts more tokens than estimated


async def ask_within(
    request: ChatRequest, window: int, overhead: int, ask: Callable[[ChatRequest], Awaitable[ChatReply]]
) -> ChatReply:
    """Ask with a conversation that fits. A provider that finds it too long all the same gets half as much, and again.

    `window` are the tokens that the model takes in besides its answer, `overhead` the bytes of the tools. Raises ModelError
    `model.context_exceeded` when nothing can be left out any more, and at once when tools and prompt alone are too long.
    """
    fixed = overhead + len(request.system.encode(errors="replace"))
    if fixed + SMALLEST_BUDGET > window * MOST_BYTES_PER_TOKEN:
        raise _no_room(request, window, fixed)
    room = window * BYTES_PER_TOKEN - fixed
    failed, refused = 0, None
    last: tuple[ChatMessage, ...] = ()
    for halving in range(1 if request.after == CONTEXT_EXCEEDED else 0, HALVINGS + 1):
        messages, shortened = fit(request.messages, max(room >> halving, SMALLEST_BUDGET))
        if refused and messages == last:
            break
        last = messages
        try:
            reply = await ask(replace(request, messages=messages))
        except ModelError as error:
            error.may_have_been_made |= refused is not None and refused.may_have_been_made
            if error.code != CONTEXT_EXCEEDED:
                raise
            refused, failed = error, failed + error.attempts
            continue
        return replace(reply, shortened=shortened, attempts=reply.attempts + failed)
    assert refused is not None  # noqa: S101  # the loop was left by `break` or after a refusal
    refused.attempts = failed
    raise refused


def _no_room(request: ChatRequest, window: int, fixed: int) -> ModelError:
    return ModelError(
        CONTEXT_EXCEEDED,
        f"prompt and {len(request.tools)} tools have {fixed} bytes: too many for the {window} tokens that {request.model} takes in.",
        retryable=False,
        field="VIOX_MODELS",
        remedy="Name a model with a larger window, say the model's true window under `windows` in the file of VIOX_MODELS, or "
        "grant fewer tools.",
    )


def fit(messages: tuple[ChatMessage, ...], budget: int) -> tuple[tuple[ChatMessage, ...], dict[str, Any] | None]:
    """The conversation within `budget` bytes, and what was done to it for the record, or None when it is sent whole."""
    kept = [_result_within(m, RESULT_BYTES) for m in messages]
    sizes = [_size(m) for m in kept]
    excess = sum(sizes) - budget
    left_out: set[int] = set()
    if excess > 0:
        quarter = max(budget // 4, 1)
        to_free = -(-excess // quarter) * quarter
        to_free -= _shorten_old_results(kept, sizes, to_free)
        left_out = _leave_out(kept, sizes, to_free)
        _cut_the_rest(kept, sizes, left_out, budget)
    shortened = sum(was is not now for was, now in zip(messages, kept, strict=True))
    if not shortened and not left_out:
        return messages, None
    sent = tuple(m for n, m in enumerate(kept) if n not in left_out)
    if left_out:
        told = f"[note] The {len(left_out)} oldest messages of this conversation are left out here: it has become too long."
        sent = (UserMessage(told), *sent)
    return sent, {
        "budget_bytes": budget,
        "messages_left_out": len(left_out),
        "messages_shortened": shortened,
        "sha256": Messages(sent).sha256(),
    }


def _shorten_old_results(kept: list[ChatMessage], sizes: list[int], to_free: int) -> int:
    """Shorten results before the newest turn, oldest first. Returns the bytes freed."""
    freed = 0
    for n in range(_newest_turn(kept)):
        if freed >= to_free:
            break
        kept[n], was = _result_within(kept[n], STUB_BYTES), kept[n]
        if kept[n] is not was:
            freed += sizes[n]
            sizes[n] = _size(kept[n])
            freed -= sizes[n]
    return freed


def _leave_out(kept: Sequence[ChatMessage], sizes: Sequence[int], to_free: int) -> set[int]:
    """Places of the oldest messages to leave out: whole turns, a call never without its result."""
    begun, newest = _current_run(kept), _newest_turn(kept)
    left_out: set[int] = set()
    freed = 0
    for group in _groups(kept):
        if freed >= to_free or group[0] >= newest:
            break
        if group[0] >= begun and _is_instruction(kept[group[0]]):
            continue
        left_out.update(group)
        freed += sum(sizes[n] for n in group)
    return left_out


def _cut_the_rest(kept: list[ChatMessage], sizes: list[int], left_out: set[int], budget: int) -> None:
    """Cut the texts that must stay, when they alone are too long: the longest, down to an equal share."""
    rest = [n for n in range(len(kept)) if n not in left_out]
    if sum(sizes[n] for n in rest) <= budget:
        return
    share = max(budget // len(rest), STUB_BYTES)
    for n in rest:
        if sizes[n] > share:
            kept[n] = _within(kept[n], share)
            sizes[n] = _size(kept[n])


def _groups(kept: Sequence[ChatMessage]) -> list[list[int]]:
    """Places of messages that belong together: a turn and the results of its calls."""
    groups: list[list[int]] = []
    for n, message in enumerate(kept):
        if isinstance(message, ToolMessage) and groups:
            groups[-1].append(n)
        else:
            groups.append([n])
    return groups


def _newest_turn(kept: Sequence[ChatMessage]) -> int:
    """Place of the newest turn; without one, of the newest message."""
    turns = [n for n, m in enumerate(kept) if isinstance(m, AssistantMessage)]
    return turns[-1] if turns else len(kept) - 1


def _current_run(kept: Sequence[ChatMessage]) -> int:
    """Where the current run begins: after the last turn without a call, which ended the one before."""
    return max((n + 1 for n, m in enumerate(kept) if isinstance(m, AssistantMessage) and not m.calls), default=0)


def _is_instruction(message: ChatMessage) -> bool:
    return isinstance(message, UserMessage) and not message.text.startswith(("[note]", "[retry]"))


def _result_within(message: ChatMessage, limit: int) -> ChatMessage:
    return _within(message, limit) if isinstance(message, ToolMessage) else message


def _within(message: ChatMessage, limit: int) -> ChatMessage:
    match message:
        case ToolMessage():
            text = _cut(message.content, limit)
            return message if text is message.content else replace(message, content=text)
        case UserMessage() | AssistantMessage():
            text = _cut(message.text, limit)
            return message if text is message.text else replace(message, text=text)


def _cut(text: str, limit: int) -> str:
    """The text in `limit` bytes: its beginning and its end, which is where totals and the newest entries are."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return text
    head, tail = raw[: limit * 2 // 3].decode(errors="ignore"), raw[-(limit // 3) :].decode(errors="ignore")
    return f"{head}\n[... {len(raw) - limit} bytes left out here; ask for less to see them ...]\n{tail}"


def _size(message: ChatMessage) -> int:
    return len(orjson.dumps(message))
