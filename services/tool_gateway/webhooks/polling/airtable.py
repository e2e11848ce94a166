"""Airtable's ping carries no data: what changed is listed for each webhook, by a cursor, for seven days. Reading the list
keeps a webhook alive; one that is not read would end after seven days, so looking for webhooks refreshes them as well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from services.tool_gateway.webhooks.polling.step import Desk, NotNow, Position, Read, Step, items, moment_of
from services.tool_gateway.webhooks.reading import moment

BASES, HOOKS, PAYLOADS, REFRESH = (
    f"airtable_{name}" for name in ("list_bases", "list_webhooks", "list_webhook_payloads", "refresh_webhook")
)
LOOKING = "webhooks"  # the list of webhooks; others are base/webhook
PATH = "/webhooks/airtable"
REFRESH_BEFORE = timedelta(days=3)
LOOK_EVERY_SECONDS = 3600.0
MOST_BASES = 1000


async def hooks(first_seconds: float, desk: Desk, position: Position, now: datetime) -> Step:
    """Find the webhooks that notify us, in all bases."""
    if now - moment_of(position, "since") < timedelta(seconds=LOOK_EVERY_SECONDS) and position.get("looked"):
        return Step([], position, now)
    parts: dict[str, Position] = {}
    problem: NotNow | None = None
    for base in await _bases(desk):
        try:
            for hook in items(await desk.ask(HOOKS, {"baseId": base}), "webhooks"):
                if _ours(hook):
                    parts[f"{base}/{hook['id']}"] = beginning(now, first_seconds)
                    await _keep_alive(desk, base, hook, now)
        except NotNow as error:
            if error.status not in (403, 404):
                raise
            problem = error  # a base that this token may not manage
    if problem and not parts:
        raise problem
    return Step([], {"since": now.isoformat(), "looked": True}, now, parts=parts)


async def payloads(base: str, hook: str, desk: Desk, position: Position, now: datetime) -> Step:
    """The next changes of one base, as one webhook tells of them."""
    arguments = {"baseId": base, "webhookId": hook, "cursor": position["cursor"], "limit": 50}
    try:
        answer = await desk.ask(PAYLOADS, arguments)
    except NotNow as error:
        if error.status == 404:
            return Step([], position, now, gone=True)
        raise
    cursor = answer.get("cursor") if isinstance(answer, dict) else None
    if not isinstance(cursor, int):
        raise NotNow("poll.unreadable", "the list of payloads has no cursor.")
    found = [
        {"base": {"id": base}, "webhook": {"id": hook}, "payload": payload}
        for payload in items(answer, "payloads")
        if not _before(payload, position)
    ]
    more = bool(answer.get("mightHaveMore")) and cursor > position["cursor"]
    reached = now if not more else moment_of(position, "since")
    return Step(found, {**position, "cursor": cursor, "since": reached.isoformat()}, reached, more=more)


def beginning(now: datetime, seconds: float) -> Position:
    """Of a webhook that is read for the first time: its list begins up to seven days ago, we a while ago."""
    first = (now - timedelta(seconds=seconds)).isoformat()
    return {"cursor": 1, "since": first, "from": first}


def pointed_at(ping: Mapping[str, Any], now: datetime, first_seconds: float) -> tuple[str, Position]:
    """The list that a ping is about, and where it begins when it is not known yet."""
    return f"{ping['base']['id']}/{ping['webhook']['id']}", beginning(now, first_seconds)


def reader(part: str, first_seconds: float) -> Read:
    base, slash, hook = part.partition("/")
    return partial(payloads, base, hook) if slash else partial(hooks, first_seconds)


async def _bases(desk: Desk) -> list[str]:
    found: list[str] = []
    offset: dict[str, str] = {}
    while len(found) < MOST_BASES:
        answer = await desk.ask(BASES, offset)
        found += [str(base["id"]) for base in items(answer, "bases") if isinstance(base, dict) and "id" in base]
        if not answer.get("offset"):
            break
        offset = {"offset": str(answer["offset"])}
    return found


async def _keep_alive(desk: Desk, base: str, hook: dict[str, Any], now: datetime) -> None:
    ends = moment(hook.get("expirationTime"))
    if ends is not None and ends - now < REFRESH_BEFORE:
        await desk.ask(REFRESH, {"baseId": base, "webhookId": str(hook["id"])})


def _ours(hook: Any) -> bool:
    """Whether it notifies this gateway: other programs of the business may have webhooks, too."""
    url = hook.get("notificationUrl") if isinstance(hook, dict) else None
    return isinstance(url, str) and isinstance(hook.get("id"), str) and urlsplit(url).path.endswith(PATH)


def _before(payload: Any, position: Position) -> bool:
    at = moment(payload.get("timestamp")) if isinstance(payload, dict) else None
    return at is not None and "from" in position and at < moment_of(position, "from")
