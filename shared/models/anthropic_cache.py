"""Marks for Anthropic's prompt cache: what the next request begins with as well.

Writing costs a quarter more than plain input, reading a tenth, for five minutes after each use. Tools and system are the same
for every request of a role, so they are always marked when they are long enough to be cached. The conversation is marked
where a next turn is likely: in a loop with tools, whose results will follow. Its mark of the request before is kept, because a
server looks back only twenty blocks from a mark, and one turn may make more calls than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

LEAST_TOKENS = 1024  # of a prefix that is cached, for most models
BYTES_PER_TOKEN = 4
MARK = {"cache_control": {"type": "ephemeral"}}


def marked(body: Mapping[str, Any], *, goes_on: bool) -> dict[str, Any]:
    """The request with its marks. `goes_on`: the conversation will be sent again, with more behind it."""
    made = dict(body)
    beginning = [body.get("tools", []), body.get("system", "")]
    if _long_enough(beginning):
        if tools := body.get("tools"):
            made["tools"] = [*tools[:-1], tools[-1] | MARK]
        if system := body.get("system"):
            made["system"] = [{"type": "text", "text": system} | MARK]
    if goes_on and _long_enough([*beginning, body["messages"]]):
        made["messages"] = _with_marks(body["messages"])
    return made


def _with_marks(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A mark at the end, and one where the request before ended: at the message before the newest turn."""
    last = len(messages) - 1
    turns = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
    places = {last} | ({turns[-1] - 1} if turns and turns[-1] > 0 else set())
    return [_with_mark(message) if n in places else message for n, message in enumerate(messages)]


def _with_mark(message: Mapping[str, Any]) -> dict[str, Any]:
    """The mark stands on the last block: of a user's message, so it is never a thought, and never blank."""
    blocks = message["content"]
    return {**message, "content": [*blocks[:-1], blocks[-1] | MARK]}


def _long_enough(parts: Sequence[Any]) -> bool:
    return sum(len(orjson.dumps(part)) for part in parts) >= LEAST_TOKENS * BYTES_PER_TOKEN
