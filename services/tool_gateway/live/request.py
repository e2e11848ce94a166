"""What a caller asks for: its headers and body, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from services.tool_gateway.http.requests import Refused, body_of
from shared.bus.envelope import check_conversation, has_nul, is_traceparent, read_json
from shared.bus.messages import LIVE_SOURCE
from shared.errors import BadInput
from shared.ids import RunId, ThreadId, run_id, thread_id
from shared.models.port import TOOL_NAME, sha256_json
from shared.telemetry.digest import sha256_bytes

CONVERSATION, KEY, TIMEOUT, RUN = "X-Conversation-Id", "Idempotency-Key", "Request-Timeout", "X-Run-Id"
MAX_BODY = 256_000
DEFAULT_MS, LEAST_MS, MOST_MS = 15_000, 100, 60_000
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call that somebody waits for. `key` is the identity under which it is asked for again; `keyed`: the caller gave
    it. `seconds`: so long the caller waits. `parent`: the run it names, unchecked."""

    agent: str
    tool: str
    arguments: dict[str, Any]
    digest: str
    conversation: str
    key: str
    keyed: bool
    seconds: float
    parent: UUID | None = None
    traceparent: str | None = None

    @property
    def run(self) -> RunId:
        return run_id(self.agent, LIVE_SOURCE, self.conversation)

    @property
    def thread(self) -> ThreadId:
        return thread_id(self.agent, self.conversation)


async def read(request: web.Request, agent: str) -> Asked:
    """Raises Refused naming the header or field that is wrong."""
    tool = request.match_info["tool"]
    if not TOOL_NAME.fullmatch(tool):
        raise Refused(404, BadInput("tool.not_found", "that is no name of a tool.", field="tool"))
    try:
        key, conversation = _key(request), _conversation(request)
        seconds, parent = _seconds(request), _parent(request)
        arguments = _arguments(await _body(request))
    except BadInput as error:
        raise Refused(400, error) from error
    digest = sha256_json(arguments)
    if key is None and conversation is None:
        raise Refused(400, _no_identity())
    asked_as = f"key\n{key}" if key is not None else f"same\n{conversation}\n{tool}\n{digest}"
    traceparent = request.headers.get("traceparent")
    return Asked(
        agent,
        tool,
        arguments,
        digest,
        conversation or key or "",
        sha256_bytes(asked_as.encode()),
        key is not None,
        seconds,
        parent,
        traceparent if traceparent and is_traceparent(traceparent) else None,
    )


def _key(request: web.Request) -> str | None:
    key = request.headers.get(KEY, "").strip()
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise _malformed(KEY, f"it must be printable text of at most {LONGEST_KEY} characters", "Send a UUID.")
    return key or None


def _conversation(request: web.Request) -> str | None:
    conversation = request.headers.get(CONVERSATION, "").strip()
    try:
        check_conversation(conversation or None)
    except BadInput as error:
        raise _malformed(
            CONVERSATION, "it is too long, or not printable", "Send the id of the conversation."
        ) from error
    if "{{" in conversation:
        # A placeholder that was not filled in would make all callers one conversation.
        raise _malformed(CONVERSATION, "a placeholder in it was not filled in", "Check how the variable is called.")
    return conversation or None


def _seconds(request: web.Request) -> float:
    text = request.headers.get(TIMEOUT, str(DEFAULT_MS)).strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _malformed(TIMEOUT, "it is no whole number of milliseconds", f"For instance {DEFAULT_MS}.")
    return min(max(int(text), LEAST_MS), MOST_MS) / 1000


def _parent(request: web.Request) -> UUID | None:
    text = request.headers.get(RUN, "").strip()
    try:
        return UUID(text) if text else None
    except ValueError:
        raise _malformed(RUN, "it is no id of a run", "Send the run's id as `viox runs` shows it.") from None


def _arguments(body: bytes) -> dict[str, Any]:
    try:
        found = read_json(body or b"{}")
        orjson.dumps(found)
    except BadInput as error:
        raise _malformed("body", "a number in it does not fit into 64 bits", "Send it as text.") from error
    except (ValueError, TypeError) as error:
        raise _malformed(
            "body", f"it cannot be read as JSON: {error}", "Send the tool's arguments as one object."
        ) from error
    except RecursionError:
        raise _malformed("body", "it is nested too deeply", "Send flatter arguments.") from None
    if not isinstance(found, dict):
        raise _malformed("body", "it is not a JSON object", "Send the tool's arguments as one object.")
    if has_nul(body):
        raise _malformed("body", "a text in it has a NUL character", "Leave it out.")
    return found


async def _body(request: web.Request) -> bytes:
    """The bytes as they came. Raises Refused before more of it is read than may be."""
    coding = request.headers.get("Content-Encoding", "identity").lower()
    kind = request.content_type.lower()
    if coding != "identity" or not (kind == "application/json" or kind.endswith("+json") or not request.body_exists):
        raise Refused(415, BadInput("invoke.malformed", "JSON is taken, not compressed.", field="Content-Type"))
    return await body_of(request, MAX_BODY, "invoke")


def _malformed(field: str, what: str, remedy: str) -> BadInput:
    return BadInput("invoke.malformed", f"{what}.", field=field, remedy=remedy)


def _no_identity() -> BadInput:
    return BadInput(
        "invoke.no_identity",
        "without a conversation or a key a repeat could not be told from a new call.",
        field=CONVERSATION,
        remedy=f"Send {CONVERSATION} (the platform's id of the call), or {KEY}.",
    )
