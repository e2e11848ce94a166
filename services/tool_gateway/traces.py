"""The gateway's part of a trace: a delivery that came in, a call as it is judged, each attempt at its vendor, its end.

Nothing is made while tracing is off, or where the call's trace is not recorded. A vendor is sent no trace context: what it
gets is what the ledger has, byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from services.tool_gateway.answers.marks import Marks
from shared.bus.envelope import Message
from shared.telemetry import genai, spans
from shared.telemetry.spans import Span, Value
from shared.telemetry.trace import TraceContext, parse, span_of_call

UNKNOWN_TOOL = "unknown"


class Call(Protocol):
    """What is needed of a tool call."""

    @property
    def call_id(self) -> Any: ...
    @property
    def agent(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def created_at(self) -> datetime | None: ...


class Tool(Protocol):
    """What is needed of its tool."""

    @property
    def name(self) -> str: ...
    @property
    def vendor(self) -> str: ...
    @property
    def effect(self) -> Any: ...
    @property
    def path(self) -> str: ...
    @property
    def connector(self) -> str: ...
    @property
    def redact_arguments(self) -> Marks: ...


class Request(Protocol):
    """What is needed of a request to a vendor."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> str: ...


_tools: Callable[[], Mapping[str, Tool]] = dict


def know(tools: Callable[[], Mapping[str, Tool]]) -> None:
    """The catalogue. A tool that is not in it has no name in a trace: a model may have called it anything."""
    global _tools
    _tools = tools


# -- what comes in over HTTP ------------------------------------------------------------------------------------------


class Incoming:
    """A request that a caller has proved to be its own, as the first span here of what follows from it.

    `given` is the caller's own trace context; without it a trace begins, named after the event `event_id` of `source`.
    """

    def __init__(self, route: str, source: str, event_id: str, given: str | None = None) -> None:
        self._began = spans.now()
        self._route = route
        found = parse(given)
        if found is None:
            self.context, self._parent = spans.root(source, event_id, spans.new_id()), None
        elif spans.recorded(given):
            self.context, self._parent = found.at(spans.new_id()), found.span_id
        else:
            self.context, self._parent = found, None

    def answered(self, status: int, more: Mapping[str, Value | None], error: str | None) -> None:
        """The answer is about to be sent."""
        if not spans.recorded(self.context.traceparent):
            return
        attributes: dict[str, Value | None] = {
            spans.HTTP_METHOD: "POST",
            spans.HTTP_ROUTE: self._route,
            spans.HTTP_STATUS: status,
        }
        times = (self._began, spans.now())
        name = f"POST {self._route}"
        spans.emit(Span(name, self.context, self._parent, *times, attributes | dict(more), "server", error))


class Delivery:
    """A webhook delivery. Its events are one trace, however many they are; a sender's own trace context is not believed."""

    def __init__(self, source: str, messages: Sequence[Message]) -> None:
        self._source = source
        first = messages[0] if messages else None
        self._incoming = Incoming("/webhooks/{source}", first.source, first.id) if first else None

    def traced(self, messages: Sequence[Message]) -> list[Message]:
        """Its events, as caused by it."""
        if self._incoming is None:
            return list(messages)
        return [replace(message, traceparent=self._incoming.context.traceparent) for message in messages]

    def answered(self, status: int, fresh: int, error: str | None) -> None:
        """`fresh` of its events are new."""
        if self._incoming is not None:
            more: dict[str, Value | None] = {spans.WEBHOOK_SOURCE: self._source, spans.WEBHOOK_EVENTS: fresh}
            self._incoming.answered(status, more, error)


# -- calls -------------------------------------------------------------------------------------------------------------


def judged(
    call: Call, tool: Tool | None, state: str, checks: Sequence[Mapping[str, Any]], error: Any, began: float
) -> None:
    """What is to become of a call was decided. `began` is of the monotonic clock."""
    own = _below(call)
    if own is None:
        return
    failed = [str(one["check"]) for one in checks if not one["passed"]]
    attributes: dict[str, Value | None] = {
        genai.TOOL: call.tool if tool else UNKNOWN_TOOL,
        genai.TOOL_CALL_ID: call.call_id,
        spans.CALL_STATE: state,
        spans.CHECKS: [str(one["check"]) for one in checks],
        spans.CHECKS_FAILED: failed or None,
    }
    spans.emit(Span("judge", *own, _wall(began), spans.now(), attributes, error=_code(error) if error else None))


def attempted(
    call: Call, tool: Tool, number: int, sent: Request, status: int | None, state: str, error: Any, began: float
) -> None:
    """An attempt has ended. `began` is of the monotonic clock."""
    if own := _below(call):
        more: dict[str, Value | None] = {spans.CALL_STATE: state, spans.HTTP_RESEND: number - 1 or None}
        code = None if state in ("succeeded", "deferred") else _of_status(status) or _code(error)
        spans.emit(_exchanged(own, call, tool, sent, status, more, code, began))


def looked_up(
    call: Call, tool: Tool, number: int, sent: Request, status: int | None, code: str | None, began: float
) -> None:
    """A look-up of an unknown call, by another tool of its vendor, has ended. `began` is of the monotonic clock."""
    if own := _below(call):
        more: dict[str, Value | None] = {spans.LOOK_UP: number}
        spans.emit(_exchanged(own, call, tool, sent, status, more, _of_status(status) or code, began))


def _exchanged(
    own: tuple[TraceContext, str],
    call: Call,
    tool: Tool,
    sent: Request,
    status: int | None,
    more: Mapping[str, Value | None],
    code: str | None,
    began: float,
) -> Span:
    """A request to a vendor because of a call."""
    attributes: dict[str, Value | None] = {
        genai.TOOL: tool.name,
        genai.TOOL_CALL_ID: call.call_id,
        spans.VENDOR: tool.vendor,
        **more,
    }
    name = f"{tool.connector} {tool.vendor}"
    if tool.connector == "http":
        template = tool.path.partition("?")[0]
        attributes |= {spans.HTTP_METHOD: sent.method, spans.URL_TEMPLATE: template, spans.HTTP_STATUS: status}
        attributes |= _server(sent.url)
        name = f"{sent.method} {template}"
    return Span(name, *own, _wall(began), spans.now(), attributes, "client", code)


def _of_status(status: int | None) -> str | None:
    return str(status) if status and status >= 400 else None


def closed(call: Call, state: str, result: Any, error: Any) -> None:
    """The end of a call is committed."""
    at = spans.recorded(call.traceparent)
    if at is None:
        return
    tool, ended = _tools().get(call.tool), spans.now()
    began = spans.nanoseconds(call.created_at) if call.created_at else ended
    more: dict[str, Value | None] = {spans.CALL_STATE: state}
    if tool is not None:
        more |= {spans.VENDOR: tool.vendor, spans.CALL_EFFECT: str(tool.effect)}
    code = None if state == "succeeded" else _code(error) if error else state
    name, content = call.tool if tool else UNKNOWN_TOOL, partial(_content, call, tool, result)
    times = (min(began, ended), ended)
    spans.emit(genai.execute_tool(at, call.agent, name, call.call_id, times, more, error=code, content=content))


def _content(call: Call, tool: Tool | None, result: Any) -> dict[str, str]:
    """Arguments as they may be shown to anybody, and the result, which was made fit for it when it came."""
    shown = tool.redact_arguments.redacted(call.arguments)[0] if tool else None
    return genai.tool_content(shown, result)


def _below(call: Call) -> tuple[TraceContext, str] | None:
    """A new span under the call's own."""
    at = spans.recorded(call.traceparent)
    return (at.at(spans.new_id()), span_of_call(call.call_id)) if at else None


def _code(error: Any) -> str:
    code = error.get("code") if isinstance(error, Mapping) else None
    return str(code) if code else "_OTHER"


def _wall(monotonic: float) -> int:
    """A moment of the monotonic clock as spans have it."""
    return spans.now() - int((time.monotonic() - monotonic) * 1_000_000_000)


def _server(url: str) -> dict[str, Value | None]:
    """Host and port: the rest of an address may say whom a call is about."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {spans.SERVER_ADDRESS: parts.hostname, spans.SERVER_PORT: port}
