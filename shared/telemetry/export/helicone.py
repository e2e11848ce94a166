"""Helicone's log: model and tool calls, each as one request of its endpoint for models it does not know.

https://docs.helicone.ai/getting-started/integration-method/custom. It sees tokens, latency, cost and names; what was said
only where content may leave. Nothing of ours goes through Helicone, so that it cannot hold a call up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx2
import orjson

from shared.telemetry import genai, spans
from shared.telemetry.export.attributes import Attributes, Writes
from shared.telemetry.logs import get_logger
from shared.telemetry.spans import Span

log = get_logger(__name__)
ENDPOINT = "https://api.worker.helicone.ai"
PATH = "/custom/v1/log"
TIMEOUT_SECONDS = 10.0
GIVE_UP_AFTER = 3  # requests that fail in a row: the rest of a batch would only wait for the same


class Helicone:
    """A backend. What is neither a model's nor a tool's is not for it, and counts as taken."""

    def __init__(self, url: str, key: str, writes: Writes, client: httpx2.Client | None = None) -> None:
        self._url = url
        self._key = key
        self._writes = writes
        self._client = client or httpx2.Client(timeout=TIMEOUT_SECONDS)

    def send(self, spans: Sequence[Span]) -> bool:
        failed = 0
        for span in spans:
            if failed >= GIVE_UP_AFTER:
                return False
            if (attributes := self._writes(span)).get(genai.OPERATION) in (genai.CHAT, genai.EXECUTE_TOOL):
                failed = 0 if self._log(span, attributes) else failed + 1
        return not failed

    def close(self) -> None:
        self._client.close()

    def _log(self, span: Span, attributes: Attributes) -> bool:
        meta = _meta(span, attributes)
        document = {
            "providerRequest": {"url": "custom-model-nopath", "json": _request(attributes), "meta": meta},
            "providerResponse": {
                "status": 500 if span.error else 200,
                "headers": {},
                "json": _response(span, attributes),
            },
            "timing": {"startTime": _moment(span.began_ns), "endTime": _moment(span.ended_ns)},
        }
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"} | meta
        return self._client.post(self._url, content=orjson.dumps(document), headers=headers).is_success


def _request(attributes: Attributes) -> dict[str, Any]:
    if attributes[genai.OPERATION] == genai.EXECUTE_TOOL:
        return {
            "_type": "tool",
            "toolName": attributes[genai.TOOL],
            "input": _read(attributes, genai.TOOL_ARGUMENTS, {}),
        }
    return {"model": attributes[genai.REQUEST_MODEL], "messages": _messages(attributes, genai.INPUT_MESSAGES)}


def _response(span: Span, attributes: Attributes) -> dict[str, Any]:
    failed = {"error": {"type": span.error}} if span.error else {}
    if attributes[genai.OPERATION] == genai.EXECUTE_TOOL:
        result = _read(attributes, genai.TOOL_RESULT, {})
        state = attributes.get(spans.CALL_STATE)
        return {"_type": "tool", "toolName": attributes[genai.TOOL], "status": state, "output": result} | failed
    said = _messages(attributes, genai.OUTPUT_MESSAGES)
    told = attributes.get(genai.INPUT_TOKENS, 0), attributes.get(genai.OUTPUT_TOKENS, 0)
    usage = {"prompt_tokens": told[0], "completion_tokens": told[1]}
    choices = [{"index": place, "message": message} for place, message in enumerate(said)]
    return {"model": attributes.get(genai.RESPONSE_MODEL), "choices": choices, "usage": usage} | failed


def _meta(span: Span, attributes: Attributes) -> dict[str, str]:
    """A session is a trace. Properties are what costs and latencies can be sorted by."""
    agent = str(attributes.get(genai.AGENT, ""))
    tool = attributes.get(genai.TOOL)
    properties = {
        "Agent": agent,
        "Run": attributes.get(spans.RUN_ID),
        "Vendor": attributes.get(spans.VENDOR),
        "Cost-USD": attributes.get(spans.COST_USD),
        "Latency-MS": (span.ended_ns - span.began_ns) // 1_000_000,
    }
    return {
        "Helicone-Request-Id": str(UUID(span.context.trace_id[:16] + span.context.span_id)),
        "Helicone-Session-Id": span.context.trace_id,
        "Helicone-Session-Name": agent,
        "Helicone-Session-Path": f"/{agent}" + (f"/{tool}" if tool else ""),
    } | {f"Helicone-Property-{name}": str(value) for name, value in properties.items() if value is not None}


def _messages(attributes: Attributes, name: str) -> list[dict[str, Any]]:
    """Messages in the form of chat completions, which Helicone shows."""
    return [
        {"role": one.get("role"), "content": "\n".join(str(part.get("content", "")) for part in one.get("parts", []))}
        for one in _read(attributes, name, [])
    ]


def _read(attributes: Attributes, name: str, otherwise: Any) -> Any:
    return orjson.loads(str(attributes[name])) if name in attributes else otherwise


def _moment(nanoseconds: int) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return {"seconds": seconds, "milliseconds": rest // 1_000_000}
