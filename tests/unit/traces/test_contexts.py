"""Trace contexts: what is one, and that ids are derived from what the work is."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.bus import topics
from shared.bus.envelope import is_traceparent
from shared.ids import run_id
from shared.runtime.announce import call_message
from shared.runtime.history import Call
from shared.telemetry import spans
from shared.telemetry.trace import derived_trace_id, parse, span_of_call, span_of_run, trace_id_of, under
from tests.unit.traces.collecting import collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"
RUN = run_id("closer", "/crm", "e1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN[:-1],
        GIVEN.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GIVEN}\n",
    ],
)
def test_what_w3c_calls_invalid_is_no_context(text: str) -> None:
    assert parse(text) is None
    assert not is_traceparent(text)
    assert trace_id_of(text) is None
    assert under(text, "00f067aa0ba902b7") is None


def test_a_context_is_read_and_written() -> None:
    found = parse(GIVEN)
    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled, found.traceparent) == (TRACE, GIVEN[36:52], True, GIVEN)
    assert under(f"{GIVEN[:-2]}00", "1" * 16) == f"00-{TRACE}-{'1' * 16}-00"


def test_ids_are_the_same_in_every_process_and_differ_from_work_to_work() -> None:
    assert span_of_run(RUN) == span_of_run(str(RUN)) == str(RUN).replace("-", "")[16:]
    calls = {span_of_call(f"{RUN}.{step}.{index}") for step in range(10) for index in range(10)}
    assert len(calls) == 100
    assert derived_trace_id("/crm", "e1") == derived_trace_id("/crm", "e1") != derived_trace_id("/crm", "e2")
    assert is_traceparent(f"00-{derived_trace_id('/crm', 'e1')}-{span_of_run(RUN)}-01")


def test_a_call_goes_under_the_span_of_its_run() -> None:
    wanted: Call = {
        "call_id": f"{RUN}.3.0",
        "index": 0,
        "provider_id": "t1",
        "tool": "hubspot_get_contact",
        "arguments": {},
        "error": None,
    }
    message = call_message("closer", "c", GIVEN, wanted, datetime.now(UTC))
    assert message.traceparent == f"00-{TRACE}-{span_of_run(RUN)}-01"
    headers = dict(message.to_kafka()[2])
    assert headers[topics.HEADER_TRACEPARENT] == headers["ce_traceparent"] == message.traceparent.encode()


def test_while_tracing_is_off_nothing_is_recorded_and_new_traces_say_so() -> None:
    assert spans.recorded(GIVEN) is None
    root = spans.root("/crm", "e1", span_of_run(RUN))
    assert (root.trace_id, root.sampled) == (derived_trace_id("/crm", "e1"), False)


def test_what_upstream_does_not_sample_is_not_recorded() -> None:
    with collecting() as found:
        assert spans.recorded(GIVEN) is not None
        assert spans.recorded(f"{GIVEN[:-2]}00") is None
        assert spans.root("/crm", "e1", span_of_run(RUN)).sampled
        found.sampling = False
        assert not spans.root("/crm", "e1", span_of_run(RUN)).sampled


def test_a_new_id_is_never_zero_and_never_the_same() -> None:
    made = {spans.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(one) == 16 and UUID(one * 2).int for one in made)
