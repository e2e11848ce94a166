"""What traces cost a call: `python -m benchmarks.traces [CALLS]`.

A call's part of a trace (its arrival, an activation, a model turn, the decision, an attempt, its end, the run's end) is emitted as the services do it: with
tracing off, on with a collector that takes everything, and on with one that hangs. In one process, in turns, so that the three can be compared.
The CPU of the emitting thread is what a call waits for; that of the process has the exporting thread in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from typing import Any
from uuid import UUID

from services.tool_gateway import traces
from services.tool_gateway.call.call import Requested
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.wire.prepared import Prepared
from shared.ids import ThreadId, call_id, run_id
from shared.models.port import AssistantMessage, ChatReply, ChatRequest, Usage, UserMessage
from shared.redaction import Redactor
from shared.runtime.store import Claimed, Commit, RunRow
from shared.runtime.traced import begun
from shared.telemetry import genai, metrics, spans
from shared.telemetry.export.settings import read
from shared.telemetry.export.tracer import start
from shared.telemetry.trace import span_of_run, under

TOOLS = catalogue.load().tools
TOOL = TOOLS["hubspot_get_contact"]
THREAD = ThreadId(UUID(int=7))
CHECKS = [{"check": f"check.{number}", "passed": True} for number in range(11)]
REQUEST = ChatRequest("gpt-4o", "You sell.", (UserMessage("Hello"),))
REPLY = ChatReply(AssistantMessage("Hi"), "end", "gpt-4o", "gpt-4o", Usage(1000, 100))
SENT = Prepared("GET", "https://api.hubapi.com/x", [], b"")
ROUNDS = 3
TOGETHER, PAUSE = 20, 0.1  # 200 calls a second at most


Made = tuple[RunRow, Claimed, Requested]


def made(number: int) -> Made:
    """A run of one call as its services have it anyway."""
    run = run_id("closer", "/bench", str(number))
    now = datetime.now(UTC)
    traceparent = spans.root("/bench", str(number), span_of_run(run)).traceparent
    row = RunRow(run, "/bench", str(number), "viox.lead.created", None, now, traceparent)
    claimed = Claimed(THREAD, "c", 0, None, True, [], 0, 1, row, [], {}, now)
    at = under(traceparent, span_of_run(run))
    call = Requested(call_id(run, 1, 0), run, 1, 0, "closer", THREAD, "c", TOOL.name, {"id": "1"}, at, created_at=now)
    return row, claimed, call


def traced(row: RunRow, claimed: Claimed, call: Requested) -> None:
    """All that the services emit for it, as they do."""
    activation = begun("closer", claimed, row)
    if activation:
        spans.emit(genai.chat(activation.asker, "openai", REQUEST, REPLY, (spans.now(), spans.now()), None))
    traces.judged(call, TOOL, "executing", CHECKS, None, time.monotonic())
    traces.attempted(call, TOOL, 1, SENT, 200, "succeeded", None, time.monotonic())
    traces.closed(call, "succeeded", {"id": "1"}, None)
    if activation:
        activation.ended(claimed, None)
        activation.run_ended(Commit(claimed, row, "finished", "v1"), "v1", [])


def measured(calls: int) -> tuple[float, float]:
    """Microseconds of CPU a call: of this thread while it emits, and of the process all in all."""
    given = [made(number) for number in range(calls)]
    mine, whole = 0.0, time.process_time()
    for place in range(0, calls, TOGETHER):
        began = time.thread_time()
        for one in given[place : place + TOGETHER]:
            traced(*one)
        mine += time.thread_time() - began
        time.sleep(PAUSE)
    return mine / calls * 1e6, (time.process_time() - whole) / calls * 1e6


@contextlib.contextmanager
def tracing(url: str) -> Iterator[None]:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    redactor = Redactor()
    tracer = start("bench", "bench", read(os.environ, redactor), redactor, content=False)
    try:
        yield
    finally:
        asyncio.run(tracer.aclose())


def collector(hangs: bool, port: Any) -> None:
    """In a process of its own: its CPU is not ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if hangs:
                threading.Event().wait()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.put(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def collecting(*, hangs: bool) -> Iterator[str]:
    context = get_context("spawn")
    port = context.Queue()
    process = context.Process(target=collector, args=(hangs, port), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=120)}"
    finally:
        process.kill()
        process.join()


def lost() -> Counter[str]:
    """Spans that were dropped until now, by reason."""
    samples = [sample for metric in metrics.SPANS_DROPPED.collect() for sample in metric.samples]
    return Counter(
        {one.labels["reason"]: int(one.value) for one in samples if one.name.endswith("_total") and one.value}
    )


def main(calls: int) -> None:
    traces.know(lambda: TOOLS)
    traced(*made(0))
    print(f"{calls} calls a time, best of {ROUNDS}; µs of CPU a call (a run of one call and one model turn: 6 spans)")
    off = min(measured(calls) for _ in range(ROUNDS))
    print(f"off                          {off[0]:7.1f} where it is emitted")
    for what, hangs in (("on", False), ("on, and the collector hangs", True)):
        before = lost()
        with collecting(hangs=hangs) as url, tracing(url):
            found = min(measured(calls) for _ in range(ROUNDS))
        dropped = ", ".join(f"{count} {reason}" for reason, count in (lost() - before).items()) or "none"
        print(
            f"{what:28} {found[0]:7.1f} where it is emitted, {found[1]:7.1f} with the exporting thread; dropped: {dropped}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
