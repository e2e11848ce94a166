"""The gateway's part of a trace: deliveries, decisions, attempts, ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, cast
from uuid import UUID

import pytest

from services.tool_gateway import traces
from services.tool_gateway.answers.marks import Marks, Place
from services.tool_gateway.call.call import Requested, tell_closed
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.wire.prepared import Prepared
from shared.bus.envelope import Message
from shared.ids import CallId, ThreadId, run_id
from shared.telemetry import genai, spans
from shared.telemetry.export.attributes import Plain
from shared.telemetry.spans import Span
from shared.telemetry.trace import derived_trace_id, parse, span_of_call, span_of_run
from tests.traces.receivers import receiving
from tests.unit.traces.collecting import Collected, collecting
from tests.unit.traces.test_background import tracer_to

TOOLS = catalogue.load().tools
TOOL = TOOLS["hubspot_create_contact"]
RUN = run_id("closer", "/crm", "e1")
GIVEN = f"00-{'a' * 32}-{span_of_run(RUN)}-01"
MARKER = "ada@secret.example"
CALL = Requested(
    CallId(f"{RUN}.1.0"),
    RUN,
    1,
    0,
    "closer",
    ThreadId(UUID(int=2)),
    MARKER,
    TOOL.name,
    {"properties": {"email": MARKER}},
    GIVEN,
    created_at=datetime.now(UTC) - timedelta(hours=3),
)


class Sink:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    def publish(self, topic: str, message: Any) -> None:
        self.sent.append(message)


@pytest.fixture
def found() -> Iterator[Collected]:
    traces.know(lambda: TOOLS)
    with collecting() as spans_found:
        yield spans_found
    traces.know(dict)


def told(span: Span, *, content: bool = False) -> dict[str, Any]:
    return dict(Plain((lambda text: text) if content else None)(span))


def close(call: Requested, state: str, result: Any = None, error: dict[str, Any] | None = None) -> list[Message]:
    sink = Sink()
    tell_closed(cast(Any, sink), call, state, result, error)
    return sink.sent


def test_a_call_that_waited_for_hours_is_one_span_from_its_request_to_its_end(found: Collected) -> None:
    (message,) = close(CALL, "succeeded", {"id": "1"})
    (span,) = found
    assert span.context.span_id == span_of_call(CALL.call_id)
    assert (span.parent_id, span.error) == (span_of_run(RUN), None)
    assert span.ended_ns - span.began_ns >= 3 * 3600 * 10**9
    assert message.traceparent == span.context.traceparent  # the result is caused by the call
    assert told(span)[spans.VENDOR] == "hubspot"


@pytest.mark.parametrize(
    ("state", "error", "code"),
    [
        ("denied", {"code": "policy.denied", "message": MARKER}, "policy.denied"),
        ("failed", {"code": "http.status", "message": MARKER}, "http.status"),
        ("rejected", None, "rejected"),
        ("failed", {"message": "no code"}, "_OTHER"),
    ],
)
def test_a_call_that_did_not_succeed_has_its_code_and_not_its_words(
    found: Collected, state: str, error: dict[str, Any] | None, code: str
) -> None:
    close(CALL, state, None, error)
    (span,) = found
    assert span.error == code
    assert MARKER not in repr(span) + repr(told(span))


def test_calls_of_a_run_that_is_not_traced_make_no_spans_and_still_wake_their_agents(found: Collected) -> None:
    for given in (None, f"{GIVEN[:-2]}00"):
        assert len(close(replace(CALL, traceparent=given), "succeeded")) == 1
    assert found == []


def test_while_tracing_is_off_the_trace_goes_on_by_the_message() -> None:
    (message,) = close(CALL, "succeeded")
    assert message.traceparent == f"00-{'a' * 32}-{span_of_call(CALL.call_id)}-01"


def test_what_a_model_made_up_as_a_tool_has_no_name_in_a_trace(found: Collected) -> None:
    call = replace(CALL, tool=f"mail_{MARKER}")
    close(call, "denied", None, {"code": "tool.unknown"})
    traces.judged(
        call, None, "denied", [{"check": "tool.known", "passed": False}], {"code": "tool.unknown"}, monotonic()
    )
    ended, judged = found
    assert ended.name == "execute_tool unknown"
    assert told(judged)[spans.CHECKS_FAILED] == ["tool.known"]
    assert MARKER not in repr(found) + repr([told(one) for one in found])


def test_arguments_leave_only_where_contents_may_and_without_what_is_sensitive(found: Collected) -> None:
    marks = Marks((Place(names={"properties": (1,)}), Place(sensitive=True)), frozenset({0}))
    close(CALL, "succeeded", {"id": "1"})
    traces.know(lambda: {TOOL.name: replace(TOOL, redact_arguments=marks)})
    close(CALL, "succeeded", {"id": "1"})
    plain, hidden = told(found[0]), told(found[1], content=True)
    assert genai.TOOL_ARGUMENTS not in plain
    assert MARKER not in repr(hidden)
    assert hidden[genai.TOOL_RESULT] == '{"id":"1"}'
    traces.know(lambda: TOOLS)
    assert MARKER in told(found[0], content=True)[genai.TOOL_ARGUMENTS]


def test_an_attempt_says_how_far_it_got_and_not_whom_it_was_about(found: Collected) -> None:
    url = f"https://api.hubapi.com/crm/v3/objects/contacts/{MARKER}?idProperty=email"
    tool = TOOLS["hubspot_get_contact"]
    sent = Prepared("GET", url, [], b"")
    traces.attempted(CALL, tool, 2, sent, 503, "requested", {"code": "http.busy"}, monotonic() - 1)
    (span,) = found
    assert (span.kind, span.parent_id, span.error) == ("client", span_of_call(CALL.call_id), "503")
    assert span.ended_ns - span.began_ns >= 10**9
    said = told(span)
    assert (said[spans.SERVER_ADDRESS], said[spans.SERVER_PORT], said[spans.HTTP_RESEND]) == ("api.hubapi.com", 443, 1)
    assert said[spans.URL_TEMPLATE] == tool.path
    assert MARKER not in repr(span)


def test_what_is_deferred_did_not_fail(found: Collected) -> None:
    tool = TOOLS["task_delegate"]
    traces.attempted(CALL, tool, 1, Prepared("ASK", "task_delegate", [], b""), 202, "deferred", None, monotonic())
    assert (found[0].name, found[0].error) == ("office office", None)


async def test_a_look_up_is_a_span_below_the_call_that_is_unknown_and_names_nobody() -> None:
    """As a collector gets it."""
    tool, url = TOOLS["hubspot_search_contacts"], f"https://api.hubapi.com/crm/v3/objects/contacts/search?q={MARKER}"
    with receiving() as receiver:
        tracer = tracer_to(receiver)
        sent = Prepared("POST", url, [], b"")
        traces.looked_up(CALL, tool, 3, sent, 200, None, monotonic() - 1)
        traces.looked_up(CALL, tool, 4, sent, None, "vendor.not_answering", monotonic())
        traces.looked_up(CALL, tool, 5, sent, 502, None, monotonic())
        await tracer.aclose()
        found, everything = receiver.wait(3), receiver.everything()
    assert {(one.name, one.parent_id) for one in found} == {(f"POST {tool.path}", span_of_call(CALL.call_id))}
    assert [one.attributes["viox.call.look_up"] for one in found] == [3, 4, 5]
    assert [one.attributes.get("error.type") for one in found] == [None, "vendor.not_answering", "502"]
    assert found[0].attributes["gen_ai.tool.name"] == tool.name, "not the call's own: it was not sent again"
    assert found[0].attributes["gen_ai.tool.call.id"] == CALL.call_id
    assert found[0].ended - found[0].began >= 10**9
    assert MARKER.encode() not in everything


def delivered(number: int) -> Message:
    return Message(f"evt_{number}", "/stripe", "com.stripe.x", {"note": MARKER}, datetime.now(UTC))


def test_the_events_of_a_delivery_are_one_trace_that_begins_with_it(found: Collected) -> None:
    delivery = traces.Delivery("stripe", [delivered(1), delivered(2)])
    first, second = delivery.traced([delivered(1), delivered(2)])
    delivery.answered(200, 2, None)
    (span,) = found
    assert first.traceparent == second.traceparent == span.context.traceparent
    assert span.context.trace_id == derived_trace_id("/stripe", "evt_1")
    assert (span.parent_id, span.kind, told(span)[spans.HTTP_STATUS]) == (None, "server", 200)
    assert MARKER not in repr(told(span))


def test_a_delivery_with_nothing_in_it_is_no_trace(found: Collected) -> None:
    delivery = traces.Delivery("stripe", [])
    assert delivery.traced([]) == []
    delivery.answered(200, 0, None)
    assert found == []


def test_a_callers_own_trace_goes_on_below_it(found: Collected) -> None:
    incoming = traces.Incoming("/v1/tools/{tool}:invoke", "/live", "c", GIVEN)
    incoming.answered(200, {}, None)
    (span,) = found
    assert (span.context.trace_id, span.parent_id) == ("a" * 32, span_of_run(RUN))


def test_a_callers_own_trace_is_handed_on_unchanged_while_tracing_is_off() -> None:
    assert traces.Incoming("/x", "/live", "c", GIVEN).context == parse(GIVEN)
