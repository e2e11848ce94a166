"""Unknown calls are settled by looking: found at the vendor means succeeded; proven absent means it never happened and
is sent again; anything else waits for a person (`viox settle`). Never by a blind retry.

Presence counts at once. Absence counts only when the attempt can no longer arrive and the vendor's reads have caught
up: after the lease, the request timeout and the tool's read lag. What an answer proves is read in `look_up`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.marks import REDACTED
from services.tool_gateway.answers.paths import at, filled
from services.tool_gateway.call import close
from services.tool_gateway.call.call import CallRow, tell_closed
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.look_up import (
    CLOCK_SKEW,
    as_answered,
    goes_on,
    listed,
    lookalikes,
    matching,
    telling,
    unexplained,
)
from services.tool_gateway.call.outcome import projected
from services.tool_gateway.call.payloads import by_reference
from services.tool_gateway.call.questions import Found, NoAnswer, Questions, understood
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Settle, Tool
from services.tool_gateway.policy.figures import moved
from services.tool_gateway.traces import looked_up
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.bus.publisher import Publisher
from shared.errors import VioxError
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
LOOK_EVERY_SECONDS = 2.0


class Settler:
    """Looks up unknown calls, those of one vendor one after another."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        store: GatewayStore,
        publisher: Publisher,
        sender: Sender,
        places: InFlightLimiter,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._store = store
        self._publisher = publisher
        self._sender = sender
        self._questions = Questions(store, sender, places)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}  # of vendors that asked us to wait, on the monotonic clock

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    found = await self._store.claim_unknown(20, LOOK_EVERY_SECONDS, [*self._asking, *self._resting()])
                    for vendor in {row.vendor for row in found}:
                        rows = [self._with_key(row) for row in found if row.vendor == vendor]
                        self._asking[vendor] = group.create_task(self._look_up(vendor, rows))
                    metrics.CALLS_UNKNOWN.set(await self._store.count_unknown())
                except Exception as error:  # noqa: BLE001  # Postgres away: look again later
                    log.warning("settling.failed", error=error)
                await asyncio.sleep(0.5)

    def _resting(self) -> list[str]:
        """Vendors that asked us to wait."""
        now = time.monotonic()
        self._not_before = {vendor: until for vendor, until in self._not_before.items() if until > now}
        return list(self._not_before)

    def _with_key(self, row: CallRow) -> CallRow:
        """`$.$key` in a look-up is the call's idempotency key, as it was sent."""
        tool = self._catalogue.tools.get(row.tool)
        sent = tool.idempotency.of(row.call_id) if tool and tool.idempotency else row.call_id
        return replace(row, arguments={**row.arguments, "$key": sent})

    async def _look_up(self, vendor: str, rows: Sequence[CallRow]) -> None:
        """One that cannot be looked up does not keep the others from it."""
        for row in rows:
            try:
                await self._look(row)
            except Exception as error:  # noqa: BLE001  # arguments that do not fit, Postgres away, vendor odd
                log.warning("call.look_up_failed", call_id=row.call_id, tool=row.tool, error=error)
        del self._asking[vendor]

    async def _look(self, row: CallRow) -> None:
        tool = self._catalogue.tools.get(row.tool)
        if tool is None or tool.settle is None:
            return
        settle, asked_at = tool.settle, datetime.now(UTC)
        if not telling(settle, row.arguments):
            log.warning("call.look_up_impossible", call_id=row.call_id, tool=row.tool, error="arguments say too little")
            return
        body = await self._ask(row, settle.tool, settle.arguments, row.look_ups)
        if body is None:
            await self._store.look_again(row.call_id, asked_at + timedelta(seconds=LOOK_EVERY_SECONDS))
            return
        items = matching(settle, body.value, row.arguments, row.intended_at)
        if items:
            await self._found(row, tool, items)
        elif asked_at < (counts_from := _absence_counts_from(row, tool)):
            await self._store.look_again(row.call_id, counts_from)
        elif await self._proven_absent(row, tool, body):
            await self._absent(row)

    async def _proven_absent(self, row: CallRow, tool: Tool, body: Found) -> bool:
        """Whether finding nothing proves that there is nothing: the list is whole, or another one is that is."""
        settle = tool.settle
        assert settle is not None  # noqa: S101  # what has no look-up is never found by one
        alike = lookalikes(settle, body.value, row.arguments, row.intended_at)
        taken = await self._taken(row, tool, [str(item.get(settle.unique)) for item in alike])
        if goes_on(settle, body.value, row.arguments, row.intended_at, taken):
            return False
        if settle.absence is None:
            return listed(settle, body.value, row.arguments)
        number = await self._store.next_look(row.call_id)
        listing = await self._ask(row, settle.absence.tool, settle.absence.arguments, number)
        if listing is None:
            return False
        others = unexplained(settle.absence, listing.value, settle, body.value, row.arguments)
        return others is not None and not others - await self._taken(row, tool, list(others))

    async def _taken(self, row: CallRow, tool: Tool, ids: Sequence[str]) -> set[str]:
        """Which of these items belong to other calls that are known to have succeeded."""
        assert tool.settle is not None  # noqa: S101  # see above
        if not ids:
            return set()
        async with self._store.transaction() as connection, connection.transaction():
            return await self._store.taken_items(
                connection, row.tool, _place(tool.settle), ids, _not_before(row, tool.settle)
            )

    async def _ask(self, row: CallRow, name: str, template: dict[str, Any], number: int) -> Found | None:
        """The vendor's answer to look-up `number` of the call, on record; None when there was none worth anything."""
        tool = self._catalogue.tools[name]
        arguments = filled(template, row.arguments)
        if problem := tool.problem_with(arguments):
            log.warning("call.look_up_impossible", call_id=row.call_id, tool=name, error=problem["message"])
            return None
        prepared = prepare(tool, arguments, self._secrets)
        kept = self._may_be_kept(row, tool, template, prepared)
        answer = await self._exchange(row, tool, prepared, arguments, number)
        async with self._store.transaction() as connection:
            await self._store.enter(
                connection,
                row.call_id,
                number,
                "look_up",
                prepared=kept,
                status=answer.status if answer else None,
                body=answer.body if answer else None,
                detail={"tool": tool.name, "answered": answer is not None}
                | ({"redacted": answer.hidden.as_dict()} if answer and answer.hidden else {}),
            )
        found = await _said(tool, answer) if answer else None
        return Found(self._sender.without_secrets(tool, found.value)) if found else None

    def _may_be_kept(self, row: CallRow, by: Tool, template: dict[str, Any], prepared: Prepared) -> Prepared:
        """The look-up without the call's sensitive arguments."""
        tool = self._catalogue.tools[row.tool]
        hidden, count = tool.redact_arguments.redacted(row.arguments)
        if not count or (arguments := filled(template, hidden)) == filled(template, row.arguments):
            return prepared
        try:
            return prepare(by, arguments, self._secrets)
        except VioxError:
            return replace(prepared, url=by.base_url + by.path, headers=[], body=REDACTED.encode())

    async def _exchange(
        self, row: CallRow, tool: Tool, prepared: Prepared, arguments: dict[str, Any], number: int
    ) -> Answer | None:
        """The answer to one look-up; None when there is none. A vendor that wants to be left alone is."""
        began = time.monotonic()
        try:
            answer = await self._questions.ask(row, tool, arguments, prepared, row.attempt)
        except NoAnswer as error:
            looked_up(row, tool, number, prepared, None, error.code, began)
            log.warning("call.look_up_failed", call_id=row.call_id, tool=tool.name, error=error)
            return None
        looked_up(row, tool, number, prepared, answer.status, None, began)
        if wait := await self._questions.held_back(tool, arguments, answer, LOOK_EVERY_SECONDS):
            self._not_before[tool.vendor] = time.monotonic() + wait
        return answer

    async def _found(self, row: CallRow, tool: Tool, items: Sequence[dict[str, Any]]) -> None:
        """The first of the items that is no other call's is this call's."""
        assert tool.settle is not None  # noqa: S101  # what has no look-up is never found by one
        key = tool.settle.unique
        ids = [str(item.get(key)) for item in items]
        async with self._store.transaction() as connection, connection.transaction():
            taken = await self._store.taken_items(
                connection, row.tool, _place(tool.settle), ids, _not_before(row, tool.settle)
            )
            ours = next((item for item in items if str(item.get(key)) not in taken), None)
            ended = await self._end(connection, row, tool, ours) if ours else None
        if ended:
            state, result, error = ended
            tell_closed(self._publisher, row, state, result, error)
            metrics.CALLS.labels(row.agent, row.tool, state).inc()
            log.warning("call.settled_by_look_up", call_id=row.call_id, tool=row.tool, state=state)

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
        state, found = ("failed", None) if error else ("succeeded", projected(tool, answer))
        result, payload = by_reference(row.call_id, found)
        detail = {"by": "look-up", "found": item.get(tool.settle.unique), "state": state}
        money = moved(tool, found) if state == "succeeded" else None
        ended = await close.settle(self._store, connection, row, state, result, error, detail, payload, money)
        return (state, result, error) if ended else None

    async def _absent(self, row: CallRow) -> None:
        async with self._store.transaction() as connection, connection.transaction():
            if await self._store.try_again(connection, row.call_id, row.attempt):
                await self._store.enter(
                    connection, row.call_id, row.attempt, "settled", detail={"by": "look-up", "absent": True}
                )
                log.warning("call.not_found_at_vendor", call_id=row.call_id, tool=row.tool)  # it is sent again


async def _said(tool: Tool, answer: Answer) -> Found | None:
    """What a look-up's answer says; None when it says nothing, or that it failed."""
    try:
        return await understood(tool, answer, tool.max_answer_bytes)
    except NoAnswer as error:
        log.warning("look_up.says_nothing", tool=tool.name, error=error)
        return None


def _place(settle: Settle) -> list[str]:
    """Where a call's own answer holds the id of its item."""
    return [*(part for part in settle.within.split(".") if part), settle.unique]


def _not_before(row: CallRow, settle: Settle) -> datetime:
    """Since when another call may have been answered with an item that could be this call's."""
    if settle.created is None or row.intended_at is None:
        return datetime.fromtimestamp(0, UTC)
    return row.intended_at - 2 * CLOCK_SKEW


def _absence_counts_from(row: CallRow, tool: Tool) -> datetime:
    lag = tool.settle.lag_seconds if tool.settle else 0.0
    since = row.lease_until or row.unknown_since or datetime.now(UTC)
    return since + timedelta(seconds=tool.timeout_seconds + lag)
