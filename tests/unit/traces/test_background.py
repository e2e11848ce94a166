"""Backends that hang, refuse or are not there: nobody waits for them, what is lost is counted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.redaction import Redactor
from shared.telemetry import spans
from shared.telemetry.export.background import Background, Bounds
from shared.telemetry.export.settings import read
from shared.telemetry.export.tracer import Tracer, start
from shared.telemetry.spans import Span
from shared.telemetry.trace import TraceContext
from tests.traces.receivers import Receiver, receiving

pytestmark = pytest.mark.usefixtures("no_hang")


def span(name: str = "x", **attributes: Any) -> Span:
    context = TraceContext("a" * 32, spans.new_id())
    return Span(name, context, None, spans.now(), spans.now(), attributes)


def count(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"viox_trace_spans_{metric}_total", labels) or 0.0


class Stuck:
    """A backend whose `send` does not return before it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.closed = False
        self.sizes: list[int] = []

    def send(self, batch: Sequence[Span]) -> bool:
        self.sizes.append(len(batch))
        self.begun.set()
        self.go_on.wait()
        return True

    def close(self) -> None:
        self.closed = True


def test_a_backend_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted() -> None:
    backend = Stuck()
    one = Background("stuck", backend, Bounds(queue=10, batch=4, delay=0.01))
    one.start()
    one.put(span())
    backend.begun.wait()
    for _ in range(25):  # returns each time although nothing is taken any more
        one.put(span())
    assert count("dropped", destination="stuck", reason="queue_full") == 15
    one.close(0.05)
    assert backend.closed
    assert count("dropped", destination="stuck", reason="at_stop") == 10
    backend.go_on.set()


def test_batches_are_bounded_and_the_rest_goes_at_the_stop() -> None:
    backend = Stuck()
    backend.go_on.set()
    one = Background("batches", backend, Bounds(queue=100, batch=4, delay=3600))
    one.start()
    for _ in range(9):
        one.put(span())
    one.close(30)
    assert sum(backend.sizes) == 9
    assert max(backend.sizes) <= 4
    assert count("sent", destination="batches") == 9


def test_a_backend_that_raises_is_asked_again_for_the_next_batch() -> None:
    class Broken(Stuck):
        def send(self, batch: Sequence[Span]) -> bool:
            self.sizes.append(len(batch))
            raise OSError("no route")

    backend = Broken()
    one = Background("broken", backend, Bounds(queue=100, batch=1, delay=0.01))
    one.start()
    one.put(span())
    one.put(span())
    one.close(30)
    assert backend.sizes == [1, 1]
    assert count("dropped", destination="broken", reason="not_taken") == 2


def tracer_to(receiver: Receiver, **more: str) -> Tracer:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
        **more,
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)  # OpenTelemetry's exporter reads its settings itself
        settings = read(environment, Redactor())
        return start("closer", "closer-2", settings, Redactor(), content=False)


async def test_spans_arrive_as_they_were_emitted() -> None:
    with receiving() as receiver:
        tracer = tracer_to(receiver, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20k", OTEL_SERVICE_NAME="other")
        context, link = TraceContext("b" * 32, "1" * 16), TraceContext("c" * 32, "2" * 16)
        given = {"viox.run.id": "r", "nothing": None, "viox.call.checks": ["a", "b"]}
        spans.emit(Span("x", context, "3" * 16, 10_000, 20_000, given, "client", "vendor.away", (link,)))
        await tracer.aclose()
        (found,) = receiver.spans()
        assert (found.service, found.name, found.trace_id, found.span_id) == ("closer", "x", "b" * 32, "1" * 16)
        assert (found.parent_id, found.kind, found.failed, found.links) == ("3" * 16, 3, True, ["2" * 16])
        assert (found.began, found.ended) == (10_000, 20_000)
        assert found.attributes == {"viox.run.id": "r", "viox.call.checks": ["a", "b"], "error.type": "vendor.away"}
        assert receiver.headers("/v1/traces")["authorization"] == "Bearer k"
        assert spans.recorded(context.traceparent) is None  # off again


@pytest.mark.parametrize("behaviour", ["500", "503", "400", "hang"])
async def test_a_collector_that_does_not_take_them_costs_the_spans_and_nothing_else(behaviour: str) -> None:
    before = count("dropped", destination="otlp", reason="not_taken")
    with receiving(behaviour) as receiver:
        tracer = tracer_to(receiver)
        for _ in range(3):
            spans.emit(span())
        await tracer.aclose()
    assert count("dropped", destination="otlp", reason="not_taken") == before + 3


async def test_a_collector_that_is_not_there_costs_the_spans_and_nothing_else() -> None:
    before = count("dropped", destination="otlp", reason="not_taken")
    with receiving() as receiver:
        pass
    tracer = tracer_to(receiver)
    spans.emit(span())
    await tracer.aclose()
    assert count("dropped", destination="otlp", reason="not_taken") == before + 1


@pytest.mark.parametrize(
    ("sampler", "argument", "sampled"),
    [("always_off", "", False), ("parentbased_traceidratio", "0", False), ("parentbased_traceidratio", "1", True)],
)
async def test_which_traces_begin_is_said_by_the_standard_sampler(sampler: str, argument: str, sampled: bool) -> None:
    with receiving() as receiver:
        tracer = tracer_to(receiver, OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)
        assert spans.root("/crm", "e1", "1" * 16).sampled is sampled
        await tracer.aclose()
