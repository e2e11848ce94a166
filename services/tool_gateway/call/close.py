"""Where calls end: outcomes are written with their result messages in one commit, then published.

`OutcomeWriter` does so for attempts that were made, many at a time; an outcome whose attempt was taken over meanwhile is
recorded as an incident. `write_outcomes` is that commit, which ends calls that cannot be sent again, too; `settle` ends
an unknown one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.call.announce import announce_waiting
from services.tool_gateway.call.call import CallRow, Decision, Error, Outcome, Ready, Requested, rate_key, tell_closed
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.call.payloads import Payload, by_reference, keep
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.policy.figures import Money, moved
from shared.batches import next_batch
from shared.bus.publisher import Publisher
from shared.store.pool import is_transient
from shared.telemetry import metrics
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
BATCH = 200
JITTER = 0.25
BATCH_BYTES = 32_000_000  # of answers: a batch is one parameter of one statement, and Postgres takes 1 GB
HIDDEN_HEADERS = frozenset({"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"})


@dataclass(slots=True)
class _Closing:
    """An attempt that ended, until it is written."""

    ready: Ready
    outcome: Outcome
    result: AttemptResult

    @property
    def size(self) -> int:
        kept = self.outcome.payload
        return len(self.outcome.body or b"") + (len(kept.content.text) if kept else 0)


class OutcomeWriter:
    """Collects outcomes of attempts and writes them in batches."""

    def __init__(self, store: GatewayStore, publisher: Publisher, wait_until: Callable[[datetime], None]) -> None:
        self._store = store
        self._publisher = publisher
        self._wait_until = wait_until
        self._queue: asyncio.Queue[_Closing] = asyncio.Queue()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.problem: str | None = None
        self._on_closed: Callable[[Requested, Outcome], None] = lambda call, end: None

    def on_closed(self, told: Callable[[Requested, Outcome], None]) -> None:
        """Call `told` with every call that has ended by an attempt of ours, once that is committed."""
        self._on_closed = told

    def submit(self, ready: Ready, answer: Answer | None, result: AttemptResult, latency_ms: float) -> None:
        """An attempt ended."""
        self._open += 1
        self._idle.clear()
        self._queue.put_nowait(_Closing(ready, _outcome(ready, answer, result, latency_ms), result))

    async def run(self) -> None:
        while True:
            batch = await next_batch(self._queue, BATCH, BATCH_BYTES)
            await self._write(batch)
            self._open -= len(batch)
            if self._open == 0:
                self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Wait until everything submitted is written."""
        try:
            await within(seconds, self._idle.wait())
        except TimeoutError:
            # Their calls are settled by the next start.
            log.warning("outcomes.not_written_at_stop", count=self._open)

    async def _write(self, batch: list[_Closing]) -> None:
        """Try until it is written: what is not in the ledger is not answered."""
        delay = 0.1
        while True:
            try:
                closed = await write_outcomes(self._store, [c.outcome for c in batch])
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
                log.warning("outcomes.write_failed", error=error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)
        failpoint("gateway.after_outcome_before_publish")
        for closing in batch:
            await self._closed(closing, closing.outcome.call_id in closed)
        failpoint("gateway.after_publish_before_offset")

    async def _write_apart(self, batch: list[_Closing], error: Exception) -> None:
        """Write each outcome of a refused batch alone. The one that the tables refuse ends as unknown, with the reason."""
        if len(batch) > 1:
            for closing in batch:
                await self._write([closing])
            return
        (closing,) = batch
        call = closing.ready.call
        if closing.outcome.state == "unknown":
            log.error("outcome.unwritable", call_id=call.call_id, error=repr(error))
            metrics.INCIDENTS.labels("call.unwritable_outcome").inc()
            return
        log.error("outcome.refused_by_table", call_id=call.call_id, error=repr(error))
        why = {"code": "gateway.unwritable", "message": f"the answer cannot be kept: {type(error).__name__}."}
        result = AttemptResult("unknown", error=why, in_doubt=True)
        await self._write([_Closing(closing.ready, _outcome(closing.ready, None, result, 0.0), result)])

    async def _closed(self, closing: _Closing, ours: bool) -> None:
        """What follows from a written outcome: the agent is told, or the next attempt waits."""
        ready, end = closing.ready, closing.outcome
        call = ready.call
        if not ours:
            log.error("outcome.late", call_id=call.call_id, attempt=ready.attempt)
            metrics.INCIDENTS.labels("call.late_outcome").inc()
            return
        if end.state in ("succeeded", "failed"):
            metrics.CALLS.labels(call.agent, call.tool, end.state).inc()
            metrics.CALL_SECONDS.labels(call.tool).observe(time.monotonic() - ready.requested_at)
            tell_closed(self._publisher, call, end.state, end.result, end.error)
            self._on_closed(call, end)
            return
        if end.deferred:
            log.info("call.deferred", call_id=call.call_id, tool=call.tool, agent=call.agent)
            return
        log.warning(
            "call.not_closed",
            call_id=call.call_id,
            tool=call.tool,
            state=end.state,
            attempt=ready.attempt,
            error=(end.error or {}).get("message"),
        )
        if closing.result.throttled and ready.tool.rate:
            try:
                await self._store.pause_rate(rate_key(ready.tool.rate, call.arguments), closing.result.wait_seconds)
            except Exception as error:  # noqa: BLE001  # the calls that come too early are told so by the vendor
                log.warning("rate.pause_not_kept", key=ready.tool.rate.key, error=error)
        if end.not_before:
            self._wait_until(end.not_before)


async def write_outcomes(store: GatewayStore, outcomes: Sequence[Outcome], connection: Any = None) -> set[str]:
    """Commit outcomes, results and payloads, and say which runs wait for an unknown one. Returns the ids of calls whose
    attempt it still was. With a connection, in its transaction."""
    unknown = [one.call_id for one in outcomes if one.state == "unknown"]
    payloads = [one.payload for one in outcomes if one.payload]
    if not unknown and not payloads:
        return await store.close(outcomes, connection)
    if connection is None:
        async with store.transaction() as own, own.transaction():
            return await write_outcomes(store, outcomes, own)
    closed = await store.close(outcomes, connection)
    await keep(connection, [one for one in payloads if one.call_id in closed])
    if unknown:
        await announce_waiting(store, connection, unknown)
    return closed


async def settle(
    store: GatewayStore,
    connection: Any,
    row: CallRow,
    state: str,
    result: Any,
    error: Error | None,
    detail: dict[str, Any],
    payload: Payload | None = None,
    moved: Money | None = None,
) -> bool:
    """End an unknown call; its agent is to be told after the commit. False when somebody else has settled it."""
    if not await store.settle(connection, row.call_id, state, result, error, moved):
        return False
    await keep(connection, [payload] if payload else [])
    await store.enter(connection, row.call_id, row.attempt, "settled", detail=detail)
    return True


async def end_deferred(
    store: GatewayStore, connection: Any, row: CallRow, state: str, result: Any, error: Error | None
) -> bool:
    """End a call whose answer came later; its agent is to be told after the commit. False when it was ended with its run."""
    if not await store.end_deferred(connection, row.call_id, state, result, error):
        return False
    detail = {"state": state} | ({"error": error} if error else {})
    await store.enter(connection, row.call_id, row.attempt, "settled", detail=detail)
    return True


def refused(decision: Decision) -> Outcome:
    """The end of a call that waited and cannot be sent. It failed, unless an attempt of it may have taken effect."""
    candidate, error = decision.candidate, decision.error or {}
    error = {"code": error.get("code"), "message": error.get("message")}
    state = "unknown" if candidate.in_doubt else "failed"
    return Outcome(
        candidate.call.call_id,
        candidate.attempt,
        state,
        error=error,
        not_before=datetime.now(UTC) if state == "unknown" else None,
        detail={"state": state, "error": error},
    )


def _outcome(ready: Ready, answer: Answer | None, result: AttemptResult, latency_ms: float) -> Outcome:
    """How an attempt ended that was made."""
    final = result.state in ("succeeded", "failed")
    shown, payload = by_reference(ready.call.call_id, result.result)
    return Outcome(
        ready.call.call_id,
        ready.attempt,
        result.state,
        http_status=answer.status if answer else None,
        latency_ms=latency_ms,
        result=shown,
        error=result.error,
        not_before=None
        if final or result.deferred
        else datetime.now(UTC) + timedelta(seconds=spread(result.wait_seconds)),
        deferred=result.deferred,
        headers=[[k, v] for k, v in answer.headers if k.lower() not in HIDDEN_HEADERS] if answer else None,
        body=answer.body if answer else None,
        detail=_detail(result) | ({"redacted": answer.hidden.as_dict()} if answer and answer.hidden else {}),
        payload=payload,
        moved=moved(ready.tool, result.result) if result.state == "succeeded" else None,
    )


def spread(seconds: float) -> float:
    """A wait that differs from call to call, so that what failed together is not tried again in the same moment. Never
    shorter: the vendor may have asked for it."""
    return seconds * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311  # no secret


def _detail(result: AttemptResult) -> dict[str, Any]:
    """What the ledger keeps of a result."""
    said = {"state": "deferred" if result.deferred else result.state} | (
        {"error": result.error} if result.error else {}
    )
    return said | {"in_doubt": True} if result.in_doubt else said
