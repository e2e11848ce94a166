"""A reader's questions to a vendor: through the gateway's own wire, as a call's look-up goes, with credentials, guard, rate,
place and breaker. They only read; what they bring is on record as the events that are accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.apart import is_large, read_apart
from services.tool_gateway.answers.paths import at
from services.tool_gateway.answers.reading import json_value
from services.tool_gateway.answers.retry_after import seconds_to_wait
from services.tool_gateway.call.call import Ready, Requested, rate_key
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES, Tool
from services.tool_gateway.webhooks.polling.step import NotNow
from services.tool_gateway.webhooks.polling.store import PollStore
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import MaybeSent, NotSent
from shared.bus import topics
from shared.errors import BadInput
from shared.ids import CallId, RunId, ThreadId

NOBODY = UUID(int=0)


class Asker:
    """The desk of all readers."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        calls: GatewayStore,
        polls: PollStore,
        sender: Sender,
        places: InFlightLimiter,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._calls = calls
        self._polls = polls
        self._sender = sender
        self._places = places

    def has_credentials(self, tool: str, settings: Sequence[str]) -> bool:
        """Whether everything is set that a request needs. Raises BadInput when a file with a secret cannot be read."""
        found = self._catalogue.tools.get(tool)
        if found is None or any(self._secrets.or_none(name) is None for name in settings):
            return False
        return any(
            all(self._secrets.or_none(name) is not None for credential in one for name in credential.secrets)
            for one in found.credentials
        )

    def setting(self, name: str) -> str:
        try:
            return self._secrets.get(name)
        except BadInput as error:
            raise NotNow(error.code, error.message, field=error.field, remedy=error.remedy) from error

    async def known(self, source: str, ids: Sequence[str]) -> set[str]:
        return await self._polls.known(source, ids)

    async def ask(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The answer's JSON. Raises NotNow when there is none that says anything."""
        found = self._catalogue.tools[tool]
        if problem := found.problem_with(arguments):
            raise NotNow("poll.invalid_arguments", f"{tool}: {problem['message']}")
        try:
            prepared = prepare(found, arguments, self._secrets)
        except BadInput as error:
            raise NotNow(error.code, error.message, field=error.field, remedy=error.remedy) from error
        answer = await self._exchange(found, prepared, dict(arguments))
        return self._sender.without_secrets(found, await _understood(found, answer))

    async def _exchange(self, tool: Tool, prepared: Prepared, arguments: dict[str, Any]) -> Answer:
        call = _request(tool, arguments)
        key = rate_key(tool.rate, arguments) if tool.rate else ""
        if tool.rate and self._places.free(tool.vendor):
            slots = await self._calls.reserve_rate_slots([(call.call_id, tool.rate, key)])
            await asyncio.sleep(max((slots[call.call_id] - datetime.now(UTC)).total_seconds(), 0.0))
        if not self._places.free(tool.vendor):
            raise NotNow("vendor.not_answering", f"{tool.vendor} has no place for a request now.")
        self._places.take(tool.vendor)
        try:
            now = time.monotonic()
            answer = await self._sender.send(Ready(call, tool, prepared, 1, now + tool.timeout_seconds, now))
            self._places.breakers.heard(tool.vendor, call.call_id, answer.status)
        except (NotSent, MaybeSent) as error:
            self._places.breakers.lost(tool.vendor, call.call_id, error.code)
            raise NotNow(error.code, error.message, field=error.field, remedy=error.remedy) from error
        finally:
            self._places.give_back(tool.vendor)
        if answer.status == 429:
            wait = seconds_to_wait(answer.header, datetime.now(UTC)) or (tool.rate.pause_seconds if tool.rate else 1.0)
            if tool.rate:
                await self._calls.pause_rate(key, wait)
            raise NotNow("vendor.too_often", f"{tool.vendor} asks to wait.", wait_seconds=wait, status=429)
        return answer


def _request(tool: Tool, arguments: dict[str, Any]) -> Requested:
    """Stands for a call where one is asked for; it is none, and no row has its id."""
    made = CallId(f"poll:{tool.vendor}:{uuid4()}")
    return Requested(made, RunId(NOBODY), 0, 0, topics.GATEWAY, ThreadId(NOBODY), "", tool.name, arguments, None)


async def _understood(tool: Tool, answer: Answer) -> Any:
    if answer.status != 200:
        said = f"{tool.vendor} answered {answer.status} to {tool.name}."
        raise NotNow("vendor.refused" if answer.status < 500 else "vendor.failed", said, status=answer.status)
    try:
        if is_large(answer, MAX_RESPONSE_BYTES):
            body = await read_apart(json_value, answer, MAX_RESPONSE_BYTES)
        else:
            body = json_value(answer, MAX_RESPONSE_BYTES)
    except ValueError as error:
        raise NotNow("poll.unreadable", f"{tool.name}: the answer cannot be read: {error}.") from error
    if tool.success is not None and not tool.success.met(at(body, tool.success.path)):
        raise NotNow("vendor.refused", f"{tool.vendor} says that {tool.name} failed.", status=answer.status)
    return body
