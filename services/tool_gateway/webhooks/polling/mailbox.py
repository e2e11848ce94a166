"""The business's mailbox, by the numbers (UIDs) that its server gives to mails in their order. Where the server has begun to count
anew, it is read by days once more; mails that were accepted before are known by their identity."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.tool_gateway.webhooks.polling.step import Desk, Position, Step, items, moment_of
from services.tool_gateway.webhooks.reading import moment

LIST, HOST = "mailbox_list_messages", "IMAP_HOST"
AGAIN = timedelta(days=1)  # how far back is read where the server counts anew


async def read(desk: Desk, position: Position, now: datetime) -> Step:
    """The next mails."""
    since = moment_of(position, "since")
    known = {"after_uid": position["uid"], "uid_validity": position["validity"]} if "uid" in position else {}
    begin = since - AGAIN if known else since
    answer = await desk.ask(LIST, known | {"since": begin.isoformat()})
    counted = {"uid": answer.get("last_uid"), "validity": answer.get("uid_validity")}
    found = [one for one in items(answer, "messages") if not _before(one, begin)]
    reached = _last(found, since) if answer.get("more") else now
    after = position | {"since": reached.isoformat()} | (counted if counted["uid"] is not None else {})
    return Step(found, after, reached, more=bool(answer.get("more")))


def _before(entry: Any, begin: datetime) -> bool:
    at = moment(entry.get("received_at")) if isinstance(entry, dict) else None
    return at is not None and at < begin


def _last(found: list[Any], otherwise: datetime) -> datetime:
    return max((at for one in found if (at := moment(one.get("received_at")))), default=otherwise)
