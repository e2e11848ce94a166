"""Spans of models, agents and tools against what OpenTelemetry publishes; contents leave only where they may."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from shared.models.port import (
    AssistantMessage,
    ChatReply,
    ChatRequest,
    ModelError,
    ModelToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
)
from shared.models.traced import TracedModel
from shared.redaction import Redactor
from shared.telemetry import genai, spans
from shared.telemetry.export.attributes import Plain
from shared.telemetry.export.otlp import KINDS
from shared.telemetry.spans import Span
from shared.telemetry.trace import TraceContext, span_of_call
from tests.traces import conventions
from tests.traces.receivers import Taken
from tests.unit.traces.collecting import collecting

AT = TraceContext("a" * 32, "b" * 16)
RUN = UUID("0189d3a2-5b1c-5c64-9a77-2b7c1f6d4e10")
MARKER = "kittens-and-a-secret"
PROVIDER_SECRET = "sk-ant-1234567890"
ASKER = genai.Asker(AT, "closer", RUN, "thread")
REQUEST = ChatRequest(
    "claude-sonnet-4-6",
    f"You sell. {MARKER}",
    (
        UserMessage(f"Hello {MARKER} {PROVIDER_SECRET}"),
        AssistantMessage("", (ModelToolCall("t1", "hubspot_get_contact", {"id": MARKER}),)),
        ToolMessage("t1", "hubspot_get_contact", MARKER),
    ),
    (ToolSpec("hubspot_get_contact", MARKER, {"type": "object"}),),
    asker=ASKER,
)
REPLY = ChatReply(
    AssistantMessage(MARKER, (ModelToolCall("t2", "stripe_refund", {"amount": 1}),)),
    "tool_calls",
    "claude-sonnet-4-6",
    "claude-sonnet-4-6-20260101",
    Usage(1000, 200, cache_read=300, cache_write=50, reasoning=20),
    "req_1",
)


class Model:
    provider = "anthropic"
    model = "claude-sonnet-4-6"

    def __init__(self, reply: ChatReply | ModelError) -> None:
        self._reply = reply

    async def complete(self, request: ChatRequest) -> ChatReply:
        if isinstance(self._reply, ModelError):
            raise self._reply
        return self._reply

    async def aclose(self) -> None:
        """Nothing is open."""


def taken(span: Span, *, content: bool = False, redactor: Redactor | None = None) -> Taken:
    """A span as a backend would have it."""
    hide = (redactor or Redactor()).everywhere if content else None
    attributes: dict[str, Any] = dict(Plain(hide)(span))
    if span.error:
        attributes["error.type"] = span.error
    kind = KINDS[span.kind].value + 1
    return Taken(
        "s",
        span.name,
        *span.context[:2],
        span.parent_id or "",
        kind,
        bool(span.error),
        attributes,
        [],
        span.began_ns,
        0,
    )


async def asked(reply: ChatReply | ModelError) -> Span:
    with collecting() as found:
        try:
            await TracedModel(Model(reply)).complete(REQUEST)
        except ModelError:
            pass
    (one,) = found
    return one


async def test_a_model_call_is_a_chat_span_of_the_conventions() -> None:
    span = await asked(REPLY)
    found = taken(span)
    assert conventions.check([found]) == {"chat": 1}
    assert (found.trace_id, found.parent_id) == AT[:2]
    told = found.attributes
    assert told["gen_ai.provider.name"] == "anthropic"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (1000, 200)
    assert told["gen_ai.usage.cache_read.input_tokens"] == 300
    assert told["gen_ai.usage.cache_creation.input_tokens"] == 50
    assert told["gen_ai.usage.reasoning.output_tokens"] == 20
    assert told["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert told["viox.cost.usd"] > 0
    assert not conventions.CONTENT & set(told)
    assert MARKER not in str(found)


async def test_contents_are_messages_of_the_published_schemas_without_secrets_where_they_may_leave() -> None:
    redactor = Redactor()
    redactor.tell("anthropic", "ANTHROPIC_API_KEY", PROVIDER_SECRET)
    found = taken(await asked(REPLY), content=True, redactor=redactor)
    assert conventions.check([found]) == {"chat": 1}
    assert conventions.CONTENT - set(found.attributes) == {"gen_ai.tool.call.arguments", "gen_ai.tool.call.result"}
    said = json.loads(found.attributes["gen_ai.input.messages"])
    assert [one["role"] for one in said] == ["user", "assistant", "tool"]
    assert MARKER in said[0]["parts"][0]["content"]
    assert PROVIDER_SECRET not in str(found)
    assert "[secret ANTHROPIC_API_KEY]" in said[0]["parts"][0]["content"]


async def test_of_a_long_conversation_the_newest_messages_leave() -> None:
    request = ChatRequest("m", "s", tuple(UserMessage(f"{n} " + "x" * 1000) for n in range(100)), asker=ASKER)
    span = genai.chat(ASKER, "openai", request, None, (0, 1), None)
    text = taken(span, content=True).attributes["gen_ai.input.messages"]
    assert len(text) <= genai.MOST_CONTENT
    said = [one["parts"][0]["content"].split()[0] for one in json.loads(text)]
    assert said[-1] == "99"
    assert said == [str(n) for n in range(100 - len(said), 100)]


async def test_a_model_that_does_not_answer_is_an_error_without_its_words() -> None:
    error = ModelError("model.rate_limited", f"slow down {MARKER}", retryable=True)
    found = taken(await asked(error))
    assert conventions.check([found]) == {"chat": 1}
    assert found.attributes["error.type"] == "model.rate_limited"
    assert MARKER not in str(found)


async def test_a_run_that_is_not_traced_asks_its_model_without_a_span() -> None:
    with collecting() as found:
        plain = ChatRequest("m", "s", ())
        assert (await TracedModel(Model(REPLY)).complete(plain)) is REPLY
    assert found == []


def test_who_asks_is_no_part_of_the_request() -> None:
    plain = ChatRequest(REQUEST.model, REQUEST.system, REQUEST.messages, REQUEST.tools)
    assert plain == REQUEST
    assert plain.digest() == REQUEST.digest()


def invoked(**more: Any) -> Span:
    given: dict[str, Any] = {"version": "v1", "status": "finished", "model": None, "tokens": (5, 6), "cost": 1500}
    return genai.invoke_agent(AT, "closer", RUN, "thread", (1, 2), **(given | more))


def test_a_run_is_an_invoke_agent_span_below_what_triggered_it() -> None:
    found = taken(invoked(model="gpt-4o"))
    assert conventions.check([found]) == {"invoke_agent": 1}
    assert (found.span_id, found.parent_id) == (RUN.hex[16:], AT.span_id)
    assert found.attributes["viox.cost.usd"] == 0.0015


def test_a_run_that_nothing_of_a_trace_triggered_is_its_first_span() -> None:
    span = genai.invoke_agent(
        AT.at(RUN.hex[16:]),
        "closer",
        RUN,
        "t",
        (1, 2),
        version="v",
        status="finished",
        model=None,
        tokens=(0, 0),
        cost=0,
    )
    assert span.parent_id is None


def test_a_redriven_run_ends_again_as_a_span_of_its_own() -> None:
    first, second = invoked(error="message.poison", status="blocked"), invoked(redrives=1)
    assert second.context.span_id != first.context.span_id == second.parent_id
    assert conventions.check([taken(first), taken(second)]) == {"invoke_agent": 2}


def test_a_tool_call_is_an_execute_tool_span() -> None:
    span = genai.execute_tool(
        AT,
        "closer",
        "stripe_refund",
        f"{RUN}.1.0",
        (1, 2),
        {spans.VENDOR: "stripe"},
        error="denied",
        content=lambda: genai.tool_content({"amount": 1}, {"id": "re_1"}),
    )
    found, open_ = taken(span), taken(span, content=True)
    assert conventions.check([found, open_]) == {"execute_tool": 2}
    assert (found.span_id, found.parent_id) == (span_of_call(f"{RUN}.1.0"), AT.span_id)
    assert not conventions.CONTENT & set(found.attributes)
    assert json.loads(open_.attributes["gen_ai.tool.call.arguments"]) == {"amount": 1}


def test_what_is_too_long_for_an_attribute_says_so() -> None:
    (left,) = genai.tool_content("x" * genai.MOST_CONTENT, None).values()
    assert json.loads(left) == {"type": "left_out", "characters": genai.MOST_CONTENT + 2}


def test_every_name_of_the_conventions_is_one_that_is_published() -> None:
    published = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    assert genai.names()
    assert set(genai.names()) <= published


@pytest.mark.parametrize(
    ("ours", "theirs"), [("gemini", "gcp.gemini"), ("mistral", "mistral_ai"), ("openai", "openai")]
)
def test_providers_have_the_names_of_the_conventions(ours: str, theirs: str) -> None:
    found = taken(genai.chat(ASKER, ours, REQUEST, REPLY, (0, 1), None))
    assert found.attributes["gen_ai.provider.name"] == theirs
