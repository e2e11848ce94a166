"""Which events are echoes of our own calls, where it can be known: Stripe says the idempotency key of the request that
caused an event, and our keys are the ids of calls; HubSpot names the object, and a call of ours has just written it.

A marked event has the extension `causedbycall` with the call's id. It is accepted like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from services.tool_gateway.webhooks.accept import SQL
from shared.bus.envelope import Message
from shared.store.pool import Pool
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
EXTENSION = "causedbycall"
WINDOW_SECONDS = 600.0
BY_PEOPLE = frozenset({"CRM_UI", "IMPORT", "MOBILE_ANDROID", "MOBILE_IOS"})


class Causes:
    """Looks recent calls up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def marked(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, those that a call of ours caused with their mark. Without Postgres none is: storing will fail next."""
        wanted = list(_wanted(messages))
        if not wanted:
            return list(messages)
        try:
            rows = await self._pool.fetch(*SQL.bind("causing_calls", wanted=wanted, seconds=WINDOW_SECONDS))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("webhooks.causes_not_known", error=error)
            rows = []
        calls = {row["place"]: row["call_id"] for row in rows}
        return [
            replace(message, extensions={**message.extensions, EXTENSION: calls[place]}) if place in calls else message
            for place, message in enumerate(messages)
        ]


def _wanted(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    for place, message in enumerate(messages):
        call, thing = None, None
        if message.type.startswith("com.stripe."):
            request = message.data.get("request")
            call = request.get("idempotency_key") if isinstance(request, dict) else None
        elif message.type.startswith("com.hubspot.") and message.data.get("changeSource") not in BY_PEOPLE:
            thing = str(message.data.get("objectId"))
        if isinstance(call, str) or thing:
            yield {"place": place, "vendor": message.type.split(".")[1], "call_id": call, "object_id": thing}
