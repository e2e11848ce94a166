"""Unknown calls are settled by looking: found at the vendor means succeeded; proven absent means it never happened and
is sent again; anything else waits for a person (`viox settle`). Never by a blind retry.

Presence counts at once. Absence counts only when the attempt can no longer arrive and the vendor's reads have caught
up: after the lease, the request timeout and the tool's read lag.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from services.tool_gateway.call import close
from services.tool_gateway.call.answer import Answer
from services.tool_gateway.call.call import CallRow, Ready, tell_closed
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.outcome import projected
from services.tool_gateway.call.paths import at, filled
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Settle, Tool
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.transport import MaybeSent, NotSent
from shared.bus.publisher import Publisher
from shared.telemetry import metrics

log = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 2.0
CLOCK_SKEW = timedelta(seconds=5)  # between us and a vendor's creation times


class Settler:
    """Looks up unknown calls, those of one vendor one after another."""

    def __init__(
        self, catalogue: Catalogue, secrets: Secrets, store: GatewayStore, publisher: Publisher, sender: Sender
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._store = store
        self._publisher = publisher
        self._sender = sender
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    found = await self._store.claim_unknown(20, LOOK_EVERY_SECONDS, list(self._asking))
                    for vendor in {row.vendor for row in found}:
                        rows = [_with_key(row) for row in found if row.vendor == vendor]
                        self._asking[vendor] = group.create_task(self._look_up(vendor, rows))
                    metrics.CALLS_UNKNOWN.set(await self._store.count_unknown())
                except Exception as error:  # noqa: BLE001  # Postgres away: look again later
                    log.warning("settling failed: %s", error)
                await asyncio.sleep(0.5)

    async def _look_up(self, vendor: str, rows: Sequence[CallRow]) -> None:
        """One that cannot be looked up does not keep the others from it."""
        for row in rows:
            try:
                await self._look(row)
            except Exception as error:  # noqa: BLE001  # arguments that do not fit, Postgres away, vendor odd
                log.warning("call %s cannot be looked up: %s", row.call_id, error)
        del self._asking[vendor]

    async def _look(self, row: CallRow) -> None:
        tool = self._catalogue.tools.get(row.tool)
        if tool is None or tool.settle is None:
            return
        asked_at = datetime.now(UTC)
        body = await self._ask(row, tool.settle)
        if body is None:
            await self._store.look_again(row.call_id, asked_at + timedelta(seconds=LOOK_EVERY_SECONDS))
            return
        items = matching(tool.settle, body.value, row.arguments, row.intended_at)
        if items:
            await self._found(row, tool, items)
        elif listed(tool.settle, body.value, row.arguments) and not goes_on(
            tool.settle, body.value, row.arguments, row.intended_at
        ):
            counts_from = _absence_counts_from(row, tool)
            if asked_at >= counts_from:
                await self._absent(row)
            else:
                await self._store.look_again(row.call_id, counts_from)

    async def _ask(self, row: CallRow, settle: Settle) -> _Body | None:
        """The vendor's answer to the look-up, on record; None when there was none worth anything."""
        tool = self._catalogue.tools[settle.tool]
        arguments = filled(settle.arguments, row.arguments)
        if tool.problem_with(arguments) or not telling(settle, row.arguments):
            log.warning("call %s cannot be looked up: its arguments do not fill the look-up", row.call_id)
            return None
        prepared = prepare(tool, arguments, self._secrets)
        now = time.monotonic()
        ready = Ready(row, tool, prepared, row.attempt, now + tool.timeout_seconds, now)
        answer: Answer | None = None
        with contextlib.suppress(NotSent, MaybeSent):
            answer = await self._sender.send(ready)
        async with self._store.transaction() as connection:
            await self._store.enter(
                connection,
                row.call_id,
                row.look_ups,
                "look_up",
                prepared=prepared,
                status=answer.status if answer else None,
                body=answer.body if answer else None,
                detail={"tool": tool.name, "answered": answer is not None},
            )
        if answer is None:
            return None
        if answer.status in tool.empty_statuses:
            return _Body(None)
        if answer.status != 200:
            return None
        try:
            body = orjson.loads(answer.plain())
        except ValueError:
            return None
        refused = tool.success is not None and not tool.success.met(at(body, tool.success.path))
        return None if refused else _Body(body)

    async def _found(self, row: CallRow, tool: Tool, items: Sequence[dict[str, Any]]) -> None:
        """The first of the items that is no other call's is this call's."""
        assert tool.settle is not None  # noqa: S101  # what has no look-up is never found by one
        key, within = tool.settle.unique, [part for part in tool.settle.within.split(".") if part]
        ids = [str(item.get(key)) for item in items]
        async with self._store.transaction() as connection, connection.transaction():
            taken = await self._store.taken_items(
                connection, row.tool, [*within, key], ids, _not_before(row, tool.settle)
            )
            ours = next((item for item in items if str(item.get(key)) not in taken), None)
            ended = await self._end(connection, row, tool, ours) if ours else None
        if ended:
            state, result, error = ended
            tell_closed(self._publisher, row, state, result, error)
            metrics.CALLS.labels(row.agent, row.tool, state).inc()
            log.warning("call %s %s: settled as %s by look-up", row.call_id, row.tool, state)

    async def _end(
        self, connection: Any, row: CallRow, tool: Tool, item: dict[str, Any]
    ) -> tuple[str, Any, dict[str, Any] | None] | None:
        """State, result and error by what was found; None when it has been settled by somebody else."""
        assert tool.settle is not None  # noqa: S101  # see above
        answer = as_answered(tool.settle, at(item, tool.settle.found) or {})
        said = at(answer, tool.success.path) if tool.success else None
        error = None
        if tool.success and said is not None and not tool.success.met(said):
            error = {
                "code": "tool.vendor_refused",
                "message": f"found at the vendor, where {tool.success.path} is {said}.",
            }
        state, result = ("failed", None) if error else ("succeeded", projected(tool, answer))
        detail = {"by": "look-up", "found": item.get(tool.settle.unique), "state": state}
        ended = await close.settle(self._store, connection, row, state, result, error, detail)
        return (state, result, error) if ended else None

    async def _absent(self, row: CallRow) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            if await self._store.try_again(connection, row.call_id, row.attempt):
                await self._store.enter(
                    connection, row.call_id, row.attempt, "settled", detail={"by": "look-up", "absent": True}
                )
                log.warning("call %s %s: proven absent at the vendor, sent again", row.call_id, row.tool)


class _Body:
    """A vendor's JSON, which may itself be null."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _with_key(row: CallRow) -> CallRow:
    """`$.$key` in a look-up is the call's id, which is its idempotency key."""
    return replace(row, arguments={**row.arguments, "$key": row.call_id})


def matching(
    settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None
) -> list[dict[str, Any]]:
    """Items of the answer that agree with the call and, where creation times are given, are not older than it."""
    found = at(body, settle.items, arguments)
    items = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
    wanted = filled(settle.match, arguments)
    agreeing = [item for item in items if all(at(item, path) == value for path, value in wanted.items())]
    return [item for item in agreeing if _young(item, settle, intended_at)]


def telling(settle: Settle, arguments: dict[str, Any]) -> bool:
    """Whether the call says what to look for. Arguments that were left out agree with whatever lacks them, too."""
    return not settle.match or any(value is not None for value in filled(settle.match, arguments).values())


def listed(settle: Settle, body: Any, arguments: dict[str, Any]) -> bool:
    """Whether the answer has the place where the item would be. Null is the whole answer of "there is none"."""
    return body is None or at(body, settle.items, arguments) is not None


def goes_on(settle: Settle, body: Any, arguments: dict[str, Any], intended_at: datetime | None) -> bool:
    """Whether what we look for could be on a further page: then not finding it proves nothing."""
    if settle.more is None or not at(body, settle.more):
        return False
    found = at(body, settle.items, arguments)
    reaches_back = settle.newest_first and any(not _young(item, settle, intended_at) for item in found or [])
    return not reaches_back


def as_answered(settle: Settle, item: dict[str, Any]) -> dict[str, Any]:
    """A found item as the call's own answer would have held it."""
    for part in reversed([part for part in settle.within.split(".") if part]):
        item = {part: item}
    return item


def _young(item: dict[str, Any], settle: Settle, intended_at: datetime | None) -> bool:
    if settle.created is None or intended_at is None:
        return True
    created = _moment(at(item, settle.created))
    return created is None or created >= intended_at.replace(microsecond=0) - CLOCK_SKEW


def _moment(given: Any) -> datetime | None:
    """Unix seconds, RFC 3339 or RFC 2822, as vendors write times; without a zone they mean UTC. Zero is no time."""
    if isinstance(given, int | float):
        with contextlib.suppress(OverflowError, OSError, ValueError):
            return datetime.fromtimestamp(given, UTC) if given > 0 else None
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with contextlib.suppress(TypeError, ValueError):
            found = read(str(given).replace("Z", "+00:00") if read is datetime.fromisoformat else str(given))
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _not_before(row: CallRow, settle: Settle) -> datetime:
    """Since when another call may have been answered with an item that could be this call's."""
    if settle.created is None or row.intended_at is None:
        return datetime.fromtimestamp(0, UTC)
    return row.intended_at - 2 * CLOCK_SKEW


def _absence_counts_from(row: CallRow, tool: Tool) -> datetime:
    lag = tool.settle.lag_seconds if tool.settle else 0.0
    since = row.lease_until or row.unknown_since or datetime.now(UTC)
    return since + timedelta(seconds=tool.timeout_seconds + lag)
