"""From requests to calls that are judged and on record: many at a time, in two commits.

The first gives each request its identity: the call that it repeats, or the next one of its conversation's run. The second
is the intake that calls from the bus go through. Whoever dies in between leaves an identity without a call, which the
caller's repeat completes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.tool_gateway.call import store as calls
from services.tool_gateway.call.call import Decision, Requested
from services.tool_gateway.call.intake import Intake
from services.tool_gateway.live.request import Asked
from shared.batches import next_batch
from shared.errors import BadInput, Conflict, Unavailable, VioxError
from shared.ids import CallId, RunId, is_run_of, parse_call_id
from shared.store.pool import Pool, is_transient
from shared.store.sql import Queries
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_name("live.sql"), Path(calls.__file__).with_name("store.sql"))
BATCH = 64
BATCH_BYTES = 4_000_000
QUEUE = 1000
WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A request with the call it stands for. `decision` is there when it is a new one; `opened`: it is the first of its run."""

    call: Requested
    decision: Decision | None
    opened: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    asked: Asked
    begun: asyncio.Future[Begun]

    @property
    def size(self) -> int:
        return 1000  # bodies are bounded, and so are those that wait


class Asking:
    """Takes requests in, one batch after the other."""

    def __init__(self, intake: Intake, pool: Pool) -> None:
        self._intake = intake
        self._pool = pool
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(QUEUE)

    async def begin(self, asked: Asked) -> Begun:
        """Raises Conflict when the key stands for another call, Unavailable when it cannot be stored now."""
        if asked.parent:
            asked = replace(asked, parent=await self._own(asked))
        pending = _Pending(asked, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(pending)
        except asyncio.QueueFull:
            raise _not_now("too many requests wait to be taken in.") from None
        return await pending.begun

    async def run(self) -> None:
        while True:
            batch = await next_batch(self._queue, BATCH, BATCH_BYTES)
            try:
                await self._take(batch)
            except asyncio.CancelledError:
                for one in batch:
                    _fail(one, _not_now("the gateway is stopping."))
                raise

    async def _take(self, batch: Sequence[_Pending]) -> None:
        """Begin a batch. One request that the tables refuse keeps no other out."""
        try:
            for one, result in zip(batch, await self._begin([one.asked for one in batch]), strict=True):
                if isinstance(result, VioxError):
                    _fail(one, result)
                elif not one.begun.done():
                    one.begun.set_result(result)
        except Exception as error:  # noqa: BLE001  # sorted out here
            if len(batch) > 1 and not is_transient(error):
                for one in batch:
                    await self._take([one])
                return
            log.warning("invoke.not_taken", count=len(batch), error=error)
            for one in batch:
                _fail(one, _not_now("it could not be stored.") if is_transient(error) else _unstorable(error))

    async def _begin(self, batch: Sequence[Asked]) -> list[Begun | VioxError]:
        rows = [_row(place, one) for place, one in enumerate(batch)]
        found = await self._pool.fetch(*SQL.bind("begin", asked=rows, window_seconds=WINDOW_SECONDS))
        of = {row["place"]: row for row in found}
        wanted: dict[int, Requested] = {
            place: _call(one, CallId(of[place]["call_id"]))
            for place, one in enumerate(batch)
            if (of[place]["tool"], of[place]["arguments_sha256"], of[place]["run_id"])
            == (one.tool, one.digest, one.run)
        }
        distinct = {call.call_id: call for call in wanted.values()}
        decided = await self._intake.ask(list(distinct.values())) if distinct else {}
        return [
            Begun(call, decided.get(call.call_id), of[place]["opened"]) if (call := wanted.get(place)) else _conflict()
            for place in range(len(batch))
        ]

    async def _own(self, asked: Asked) -> Any:
        """The run that the caller names. Raises BadInput when it is not one of its agent."""
        row = await self._pool.fetchrow(*SQL.bind("own_run", run=asked.parent, agent=asked.agent))
        if row and is_run_of(row["run_id"], row["agent"], row["trigger_source"], row["trigger_id"]):
            return asked.parent
        raise BadInput(
            "run.not_found",
            f"{asked.agent} has no run {asked.parent}.",
            field="X-Run-Id",
            remedy="Send the id of a run of the token's agent, or leave it out.",
        )


def _row(place: int, asked: Asked) -> dict[str, Any]:
    return {
        "place": place,
        "agent": asked.agent,
        "key": asked.key,
        "keyed": asked.keyed,
        "run_id": asked.run,
        "thread_id": asked.thread,
        "conversation_id": asked.conversation,
        "parent_run_id": asked.parent,
        "traceparent": asked.traceparent,
        "tool": asked.tool,
        "sha256": asked.digest,
    }


def _call(asked: Asked, call: CallId) -> Requested:
    run, step, index = parse_call_id(call)
    return Requested(
        call,
        RunId(run),
        step,
        index,
        asked.agent,
        asked.thread,
        asked.conversation,
        asked.tool,
        asked.arguments,
        asked.traceparent,
        live=True,
        created_at=datetime.now(UTC),
    )


def _fail(one: _Pending, error: VioxError) -> None:
    if not one.begun.done():
        one.begun.set_exception(error)


def _conflict() -> Conflict:
    return Conflict(
        "call.conflict",
        "this key stands for a call with another tool, other arguments or another conversation.",
        field="Idempotency-Key",
        remedy="Send a new key with a new call.",
    )


def _not_now(why: str) -> Unavailable:
    return Unavailable("invoke.unavailable", why, remedy="Send the same request again in a moment.")


def _unstorable(error: Exception) -> BadInput:
    return BadInput("invoke.unstorable", f"it cannot be stored: {type(error).__name__}.", field="body")
