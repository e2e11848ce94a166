"""Twilio keeps messages and calls, not what it told of them. A message's record says how it ended, so that the news in
between (queued, sent) are gone; a delivered one is not told of at all, because nobody has anything to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services.tool_gateway.webhooks.polling.step import Desk, Listing, NotNow, items
from services.tool_gateway.webhooks.reading import CALL_ENDS

MESSAGES, CALLS = "twilio_list_messages", "twilio_list_calls"
NOT_REACHED = frozenset({"failed", "undelivered"})
OVERLAP_SECONDS = 4 * 3600.0  # a message waits so long for its carrier, a call lasts no longer
# How a record's fields are called in a request of Twilio's.
MESSAGE = {"sid": "MessageSid", "account_sid": "AccountSid", "messaging_service_sid": "MessagingServiceSid", "from": "From",
           "to": "To", "body": "Body", "num_media": "NumMedia", "num_segments": "NumSegments", "api_version": "ApiVersion"}  # fmt: skip
CALL = {"sid": "CallSid", "account_sid": "AccountSid", "from": "From", "to": "To", "status": "CallStatus",
        "direction": "Direction", "api_version": "ApiVersion", "duration": "CallDuration",
        "caller_name": "CallerName", "forwarded_from": "ForwardedFrom"}  # fmt: skip


async def messages(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Newest first; those that came, and those that did not arrive."""
    rows = await _all(
        desk, MESSAGES, "messages", {"DateSentAfter": _time(since), "DateSentBefore": _time(until)}, pages
    )
    return None if rows is None else [told for row in reversed(rows) if (told := _message(row)) is not None]


async def calls(desk: Desk, since: datetime, until: datetime, pages: int) -> list[Any] | None:
    """Newest first, by the time of their start; those that ended."""
    rows = await _all(desk, CALLS, "calls", {"StartTimeAfter": _time(since), "StartTimeBefore": _time(until)}, pages)
    ended = [row for row in rows or () if not isinstance(row, dict) or row.get("status") in CALL_ENDS]
    return None if rows is None else [_renamed(row, CALL) if isinstance(row, dict) else row for row in reversed(ended)]


async def _all(desk: Desk, tool: str, name: str, filters: dict[str, Any], pages: int) -> list[Any] | None:
    found: list[Any] = []
    page: dict[str, Any] = {}
    for _ in range(pages):
        answer = await desk.ask(tool, {**filters, "PageSize": 1000, **page})
        found += items(answer, name)
        if not (following := answer.get("next_page_uri")):
            return found
        page = _page(following)
    return None


def _page(uri: Any) -> dict[str, Any]:
    query = parse_qs(urlsplit(str(uri)).query)
    if not (number := query.get("Page", [""])[0]).isdigit():
        raise NotNow("poll.unreadable", "next_page_uri names no page.")
    return {"Page": int(number)} | ({"PageToken": query["PageToken"][0]} if "PageToken" in query else {})


def _message(row: Any) -> Any | None:
    """The request that Twilio makes of it; what is no record goes on as it is, to be set aside."""
    if not isinstance(row, dict):
        return row
    status = row.get("status")
    said = _renamed(row, MESSAGE)
    if status == "received":
        return said | {"SmsSid": row.get("sid"), "SmsMessageSid": row.get("sid"), "SmsStatus": status}
    if status in NOT_REACHED:
        failure = {"ErrorCode": str(row["error_code"])} if row.get("error_code") else {}
        said = {name: value for name, value in said.items() if name != "Body"}
        return said | {"SmsSid": row.get("sid"), "MessageStatus": status, "SmsStatus": status} | failure
    return None


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {to: row[name] for name, to in names.items() if row.get(name) is not None}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


LISTS = {
    "messages": Listing(messages, overlap_seconds=OVERLAP_SECONDS),
    "calls": Listing(calls, overlap_seconds=OVERLAP_SECONDS),
}
