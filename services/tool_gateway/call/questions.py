"""Questions that the gateway asks on its own account, which only read: look-ups of unknown calls, and vendors' lists.

They go as calls do: at their rates' turn, with a place at the vendor, heard by its breaker, and they heed a vendor that wants
to be left alone. What an answer is worth is read here, too.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.apart import is_large, read_apart
from services.tool_gateway.answers.paths import at
from services.tool_gateway.answers.reading import json_value
from services.tool_gateway.answers.retry_after import seconds_until_reset
from services.tool_gateway.call.call import Ready, Requested, rate_key
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.outcome import of_haste
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import MaybeSent, NotSent
from shared.errors import VioxError

UNREADABLE = "vendor.unreadable"


class NoAnswer(VioxError):
    """There is none, or none that says anything. `status` of one that there is."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(code, message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Found:
    """The JSON of an answer, which may itself be null."""

    value: Any


class Questions:
    """The desk at which questions are asked."""

    def __init__(self, store: GatewayStore, sender: Sender, places: InFlightLimiter) -> None:
        self._store = store
        self._sender = sender
        self._places = places

    async def ask(
        self, call: Requested, tool: Tool, arguments: dict[str, Any], prepared: Prepared, attempt: int = 1
    ) -> Answer:
        """The answer, whatever it says. `call` is what is asked about, or stands for the question. Raises NoAnswer."""
        rates = [(call.call_id, rate, rate_key(rate, arguments)) for rate in tool.rates]
        if rates and self._places.free(tool.vendor):
            slots = await self._store.reserve_rate_slots(rates)
            await asyncio.sleep(max((slots[call.call_id] - datetime.now(UTC)).total_seconds(), 0.0))
        if not self._places.free(tool.vendor):
            raise NoAnswer("vendor.not_answering", f"{tool.vendor} has no place for a request now.")
        self._places.take(tool.vendor)
        try:
            now = time.monotonic()
            answer = await self._sender.send(Ready(call, tool, prepared, attempt, now + tool.timeout_seconds, now))
            self._places.breakers.heard(tool.vendor, call.call_id, answer.status)
        except (NotSent, MaybeSent) as error:
            self._places.breakers.lost(tool.vendor, call.call_id, error.code)
            raise NoAnswer(error.code, error.message) from error
        finally:
            self._places.give_back(tool.vendor)
        return answer

    async def held_back(self, tool: Tool, arguments: dict[str, Any], answer: Answer, otherwise: float) -> float | None:
        """For how many seconds the vendor wants to be left alone: neither questions nor calls go at its rate meanwhile.

        `otherwise`: where neither the answer nor the tool's document says so. None when it has not said that.
        """
        if not of_haste(answer):
            return None
        asked = seconds_until_reset(answer.header, "", datetime.now(UTC))
        wait = asked or (tool.rate.pause_seconds if tool.rate else otherwise)
        if tool.rate:
            await self._store.pause_rate(rate_key(tool.rate, arguments), wait)
        return wait


async def understood(tool: Tool, answer: Answer, most_bytes: int) -> Found:
    """What an answer says. Raises NoAnswer when it says nothing, or that it failed."""
    if answer.status in tool.empty_statuses:
        return Found(None)
    if answer.status != 200:
        code = "vendor.refused" if answer.status < 500 else "vendor.failed"
        raise NoAnswer(code, f"{tool.vendor} answered {answer.status} to {tool.name}.", answer.status)
    try:
        large = is_large(answer, most_bytes)
        body = await read_apart(json_value, answer, most_bytes) if large else json_value(answer, most_bytes)
    except ValueError as error:
        raise NoAnswer(UNREADABLE, f"the answer to {tool.name} cannot be read: {error}.") from error
    if tool.success is not None and not tool.success.met(at(body, tool.success.path)):
        raise NoAnswer("vendor.refused", f"{tool.vendor} says that {tool.name} failed.", answer.status)
    return Found(body)
