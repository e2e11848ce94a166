"""What LangSmith and Helicone are sent: their own names, tokens, latency and cost per model and tool, and no contents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.models.port import AssistantMessage, ChatReply, ChatRequest, Usage, UserMessage
from shared.redaction import Redactor
from shared.telemetry import genai, spans
from shared.telemetry.export.settings import read
from shared.telemetry.export.tracer import start
from shared.telemetry.spans import Span
from shared.telemetry.trace import TraceContext
from tests.traces.receivers import Receiver, receiving
from tests.unit.traces.test_background import count

pytestmark = pytest.mark.usefixtures("no_hang")

AT = TraceContext("a" * 32, "b" * 16)
RUN = "0189d3a2-5b1c-5c64-9a77-2b7c1f6d4e10"
MARKER = "what-the-customer-wrote"
LANGSMITH, HELICONE = "/smith/otel/v1/traces", "/helicone/custom/v1/log"


def chat(error: str | None = None) -> Span:
    asker = genai.Asker(AT, "closer", RUN, "thread-1")  # type: ignore[arg-type]  # printed only
    request = ChatRequest("gpt-4o", "You sell.", (UserMessage(MARKER),))
    reply = ChatReply(AssistantMessage(f"Re: {MARKER}"), "end", "gpt-4o", "gpt-4o-2024-11-20", Usage(1000, 200))
    return genai.chat(asker, "openai", request, None if error else reply, (1_500_000_000, 2_750_000_000), error)


def tool(error: str | None = None) -> Span:
    more: dict[str, spans.Value | None] = {spans.VENDOR: "stripe", spans.CALL_STATE: "failed" if error else "succeeded"}

    def content() -> dict[str, str]:
        return genai.tool_content({"note": MARKER}, {"id": "re_1"})

    times = (1_000_000_000, 1_250_000_000)
    return genai.execute_tool(AT, "closer", "stripe_refund", f"{RUN}.1.0", times, more, error=error, content=content)


def other() -> Span:
    return Span("judge", AT.at("c" * 16), AT.span_id, 1, 2, {spans.CHECKS: ["policy"]})


async def sent(receiver: Receiver, *given: Span, content: bool = False) -> None:
    environment = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "lsv2_secret_123",
        "LANGSMITH_PROJECT": "office",
        "LANGSMITH_ENDPOINT": f"{receiver.url}/smith",
        "HELICONE_API_KEY": "sk-helicone-12345",
        "HELICONE_BASE_URL": f"{receiver.url}/helicone",
    }
    redactor = Redactor()
    tracer = start("closer", "closer", read(environment, redactor), redactor, content=content)
    for span in given:
        spans.emit(span)
    await tracer.aclose()


async def test_langsmith_is_sent_kinds_of_runs_and_the_names_that_it_reads() -> None:
    with receiving() as receiver:
        await sent(receiver, chat(), tool(), other())
        model, called, judged = receiver.spans(LANGSMITH)
        headers = receiver.headers(LANGSMITH)
    assert (headers["x-api-key"], headers["langsmith-project"]) == ("lsv2_secret_123", "office")
    assert headers["content-type"] == "application/x-protobuf"
    kinds = [one.attributes["langsmith.span.kind"] for one in (model, called, judged)]
    assert kinds == ["llm", "tool", "chain"]
    assert model.attributes["gen_ai.system"] == "openai"
    assert model.attributes["gen_ai.usage.input_tokens"] == 1000
    assert model.attributes["langsmith.metadata.cost_usd"] == model.attributes["viox.cost.usd"] == 0.0045
    assert called.attributes["gen_ai.tool.name"] == "stripe_refund"
    assert called.attributes["langsmith.metadata.agent"] == "closer"
    assert "gen_ai.prompt" not in called.attributes


async def test_helicone_is_sent_models_and_tools_with_tokens_latency_and_cost() -> None:
    with receiving() as receiver:
        await sent(receiver, chat(), tool(), other())
        model, called = receiver.documents(HELICONE)
        headers = receiver.headers(HELICONE)
    assert headers["authorization"] == "Bearer sk-helicone-12345"
    for document in (model, called):
        check_shape(document)
        assert document["providerRequest"]["meta"]["Helicone-Session-Id"] == AT.trace_id
        assert document["providerRequest"]["meta"]["Helicone-Property-Agent"] == "closer"
    assert model["providerRequest"]["json"] == {"model": "gpt-4o", "messages": []}
    assert model["providerResponse"]["json"]["usage"] == {"prompt_tokens": 1000, "completion_tokens": 200}
    assert model["providerRequest"]["meta"]["Helicone-Property-Cost-USD"] == "0.0045"
    assert model["timing"] == {
        "startTime": {"seconds": 1, "milliseconds": 500},
        "endTime": {"seconds": 2, "milliseconds": 750},
    }
    assert called["providerRequest"]["json"] == {"_type": "tool", "toolName": "stripe_refund", "input": {}}
    assert called["providerRequest"]["meta"]["Helicone-Session-Path"] == "/closer/stripe_refund"
    assert headers["helicone-session-path"] == "/closer/stripe_refund"


async def test_neither_is_sent_contents_by_default() -> None:
    with receiving() as receiver:
        await sent(receiver, chat(), tool())
        assert len(receiver.spans(LANGSMITH)) == len(receiver.documents(HELICONE)) == 2
        assert MARKER.encode() not in receiver.everything()


async def test_contents_that_may_leave_are_where_each_of_them_looks() -> None:
    with receiving() as receiver:
        await sent(receiver, chat(), tool(), content=True)
        model, called = receiver.spans(LANGSMITH)
        asked, made = receiver.documents(HELICONE)
    assert MARKER in model.attributes["gen_ai.input.messages"]
    assert json.loads(called.attributes["gen_ai.prompt"]) == {"note": MARKER}
    assert json.loads(called.attributes["gen_ai.completion"]) == {"id": "re_1"}
    assert asked["providerRequest"]["json"]["messages"] == [{"role": "user", "content": MARKER}]
    assert asked["providerResponse"]["json"]["choices"][0]["message"]["content"] == f"Re: {MARKER}"
    assert made["providerRequest"]["json"]["input"] == {"note": MARKER}
    assert made["providerResponse"]["json"]["output"] == {"id": "re_1"}


async def test_failures_are_told_by_their_codes() -> None:
    with receiving() as receiver:
        await sent(receiver, chat("model.rate_limited"), tool("vendor.refused"))
        assert [one.attributes["error.type"] for one in receiver.spans(LANGSMITH)] == [
            "model.rate_limited",
            "vendor.refused",
        ]
        for document, code in zip(receiver.documents(HELICONE), ("model.rate_limited", "vendor.refused"), strict=True):
            check_shape(document)
            assert document["providerResponse"]["status"] == 500
            assert document["providerResponse"]["json"]["error"] == {"type": code}


@pytest.mark.parametrize("behaviour", ["401", "500"])
async def test_a_backend_that_refuses_is_counted_apart_from_the_others(behaviour: str) -> None:
    before = {name: count("dropped", destination=name, reason="not_taken") for name in ("langsmith", "helicone")}
    with receiving(behaviour) as receiver:
        await sent(receiver, chat(), chat(), chat(), chat(), chat())
    for name, dropped in before.items():
        assert count("dropped", destination=name, reason="not_taken") == dropped + 5


def check_shape(document: dict[str, Any]) -> None:
    """The request of Helicone's documentation (HeliconeAsyncLogRequest)."""
    assert set(document) == {"providerRequest", "providerResponse", "timing"}
    request, response = document["providerRequest"], document["providerResponse"]
    assert set(request) == {"url", "json", "meta"}
    assert request["url"] == "custom-model-nopath"
    assert all(isinstance(value, str) for value in request["meta"].values())
    assert set(response) == {"status", "headers", "json"}
    assert isinstance(response["status"], int)
    for moment in ("startTime", "endTime"):
        assert set(document["timing"][moment]) == {"seconds", "milliseconds"}
        assert 0 <= document["timing"][moment]["milliseconds"] < 1000
