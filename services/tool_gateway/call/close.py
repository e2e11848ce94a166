"""Write outcomes down, many in one commit, then announce them. An outcome whose attempt was taken over is an incident."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tool_gateway.call.announce import announce_waiting
from services.tool_gateway.call.intake import Ready, rate_key
from services.tool_gateway.call.outcome import Answer, AttemptResult
from services.tool_gateway.call.store import GatewayStore, Outcome
from shared.bus import topics
from shared.bus.messages import call_closed
from shared.bus.outbox import Outbox, Outgoing, outgoing
from shared.store.pool import is_transient
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint

log = logging.getLogger(__name__)
BATCH = 200
HIDDEN_HEADERS = frozenset({"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"})


@dataclass(slots=True)
class _Closing:
    ready: Ready
    outcome: Outcome
    result: AttemptResult


class OutcomeWriter:
    """Collects outcomes of attempts and writes them in batches."""

    def __init__(self, store: GatewayStore, outbox: Outbox, wait_until: Callable[[datetime], None]) -> None:
        self._store = store
        self._outbox = outbox
        self._wait_until = wait_until
        self._queue: asyncio.Queue[_Closing] = asyncio.Queue()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.problem: str | None = None

    def submit(self, ready: Ready, answer: Answer | None, result: AttemptResult, latency_ms: float) -> None:
        """An attempt ended."""
        self._open += 1
        self._idle.clear()
        self._queue.put_nowait(_Closing(ready, _outcome(ready, answer, result, latency_ms), result))

    async def run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
            await self._write(batch)
            self._open -= len(batch)
            if self._open == 0:
                self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Wait until everything submitted is written."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            log.warning("%d outcomes not written at stop; their calls are settled by the next start", self._open)

    async def _write(self, batch: list[_Closing]) -> None:
        """Until it is written: not audited means not answered."""
        delay = 0.1
        while True:
            try:
                closed = await self._store_outcomes([c.outcome for c in batch])
                metrics.LEDGER_WRITES.labels("ok").inc()
                self.problem = None
                break
            except Exception as error:  # noqa: BLE001  # sorted out below
                metrics.LEDGER_WRITES.labels("failed").inc()
                if not is_transient(error):
                    await self._write_apart(batch, error)
                    return
                # Postgres away: hold on to the outcomes and try again.
                self.problem = f"the ledger cannot be written: {error}"
                log.warning("%s; trying again", self.problem)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
        failpoint("gateway.after_outcome_before_publish")
        answers = []
        for closing in batch:
            answer = await self._closed(closing, closing.outcome.call_id in closed)
            if answer:
                answers.append(answer)
        self._outbox.publish(answers)
        failpoint("gateway.after_publish_before_offset")

    async def _write_apart(self, batch: list[_Closing], error: Exception) -> None:
        """One outcome that no table takes must not hold up its neighbours: it ends as unknown, which says why."""
        if len(batch) > 1:
            for closing in batch:
                await self._write([closing])
            return
        (closing,) = batch
        call = closing.ready.call
        if closing.outcome.state == "unknown":
            log.error("call %s: its outcome cannot be written at all: %r", call.call_id, error)
            metrics.INCIDENTS.labels("call.unwritable_outcome").inc()
            return
        log.error("call %s: its outcome cannot be written: %r", call.call_id, error)
        why = {"code": "gateway.unwritable", "message": f"the answer cannot be kept: {type(error).__name__}."}
        result = AttemptResult("unknown", error=why, in_doubt=True)
        await self._write([_Closing(closing.ready, _outcome(closing.ready, None, result, 0.0), result)])

    async def _store_outcomes(self, outcomes: list[Outcome]) -> set[str]:
        if all(o.state != "unknown" for o in outcomes):
            return await self._store.close(outcomes)
        async with self._store.transaction() as connection, connection.transaction():
            closed = await self._store.close(outcomes, connection)
            await announce_waiting(self._store, connection, [o.call_id for o in outcomes if o.state == "unknown"])
            return closed

    async def _closed(self, closing: _Closing, ours: bool) -> Outgoing | None:
        ready, end = closing.ready, closing.outcome
        call = ready.call
        if not ours:
            log.error("call %s attempt %d: outcome came after the attempt was taken over", call.call_id, ready.attempt)
            metrics.INCIDENTS.labels("call.late_outcome").inc()
            return None
        if end.state in ("succeeded", "failed"):
            metrics.CALLS.labels(call.agent, call.tool, end.state).inc()
            metrics.CALL_SECONDS.labels(call.tool).observe(time.monotonic() - ready.requested_at)
            return end.answer
        log.warning(
            "call %s %s: %s after attempt %d: %s",
            call.call_id,
            call.tool,
            end.state,
            ready.attempt,
            (end.error or {}).get("message"),
        )
        if closing.result.throttled and ready.tool.rate:
            try:
                await self._store.pause_rate(rate_key(ready.tool.rate, call.arguments), closing.result.wait_seconds)
            except Exception as error:  # noqa: BLE001  # the calls that come too early are told so by the vendor
                log.warning("the pause of %s is not kept: %s", ready.tool.rate.key, error)
        if end.not_before:
            self._wait_until(end.not_before)
        return None


def closed_message(call: Any, state: str, result: Any, error: dict[str, Any] | None) -> Outgoing:
    """The result message of a call, for its agent. `call` is a Requested or a CallRow."""
    message = call_closed(
        call.call_id, call.run_id, state, result, error, call.conversation_id, datetime.now(UTC), call.traceparent
    )
    return outgoing(topics.tool_results(call.agent), message)


def _outcome(ready: Ready, answer: Answer | None, result: AttemptResult, latency_ms: float) -> Outcome:
    call = ready.call
    final = result.state in ("succeeded", "failed")
    wait = timedelta(seconds=result.wait_seconds)
    return Outcome(
        call.call_id,
        ready.attempt,
        result.state,
        answer.status if answer else None,
        latency_ms,
        result.result,
        result.error,
        None if final else datetime.now(UTC) + wait,
        [[k, v] for k, v in answer.headers if k.lower() not in HIDDEN_HEADERS] if answer else None,
        answer.body if answer else None,
        _detail(result),
        closed_message(call, result.state, result.result, result.error) if final else None,
    )


def _detail(result: AttemptResult) -> dict[str, Any]:
    """What the ledger keeps of a result."""
    said = {"state": result.state} | ({"error": result.error} if result.error else {})
    return said | {"in_doubt": True} if result.in_doubt else said
