"""Send what has been judged and written down. Checks the lease right before the first byte; never sends twice blindly."""

from __future__ import annotations

import asyncio
import logging
import time

import httpx2

from services.tool_gateway import outcome
from services.tool_gateway.close import Closer
from services.tool_gateway.intake import Ready
from services.tool_gateway.outcome import Answer, Meaning
from services.tool_gateway.wire import MaybeSent, NotSent, Wire
from shared.telemetry import metrics
from shared.telemetry.hold import reached

log = logging.getLogger(__name__)


class Executor:
    """Runs calls side by side, at most `concurrency` at once."""

    def __init__(self, wire: Wire, closer: Closer, *, concurrency: int) -> None:
        self._wire = wire
        self._closer = closer
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, ready: Ready) -> None:
        """Begin one call; its outcome goes to the closer."""
        task = asyncio.create_task(self._run(ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let what is on its way come back."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _run(self, ready: Ready) -> None:
        async with self._slots:
            started = time.monotonic()
            answer: Answer | None = None
            try:
                answer = await send(self._wire, ready)
                meaning = outcome.of_answer(ready.tool, answer, ready.attempt)
            except NotSent as error:
                meaning = outcome.of_not_sent(ready.attempt, error)
            except MaybeSent as error:
                meaning = outcome.of_maybe_sent(ready.tool, ready.attempt, error)
            except Exception as error:
                log.exception("call %s: unforeseen", ready.call.call_id)
                meaning = outcome.of_maybe_sent(ready.tool, ready.attempt, MaybeSent("gateway.error", repr(error)))
            self._done(ready, answer, meaning, time.monotonic() - started)

    def _done(self, ready: Ready, answer: Answer | None, meaning: Meaning, seconds: float) -> None:
        reached("gateway.after_effect_before_outcome")
        metrics.CALL_ATTEMPTS.labels(ready.tool.name, meaning.state).inc()
        self._closer.submit(ready, answer, meaning, seconds * 1000)


async def send(wire: Wire, ready: Ready) -> Answer:
    """One HTTP exchange. Raises NotSent or MaybeSent when there is no complete answer."""

    async def gate() -> None:
        if time.monotonic() >= ready.lease_ends:
            raise NotSent("lease.lost", "the lease of this attempt ran out before it was sent.")
        reached("gateway.mid_call")

    prepared = ready.prepared
    request = httpx2.Request(
        prepared.method,
        prepared.url,
        headers=prepared.headers,
        stream=httpx2.ByteStream(prepared.body),
        extensions={"timeout": {"connect": 5.0, "read": ready.tool.timeout_seconds}, "viox.gate": gate},
    )
    response = await wire.handle_async_request(request)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
    return Answer(response.status_code, headers, response.extensions["viox.body"])
