"""What a delivery tells: the events in a vendor's payload, each with the identity that is truly unique at that vendor.

Payloads travel unchanged as the events' data, one exception aside: QuickBooks' older shape is read as the CloudEvents that
replaced it. A reader yields an event for whatever the payload says, whether anybody here listens to it or not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from services.tool_gateway.mail.reading import read_mail
from services.tool_gateway.webhooks.schemes import twilio
from services.tool_gateway.webhooks.schemes.proof import Incoming
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.envelope import read_json
from shared.bus.events import MAIL_TYPE
from shared.bus.identity import identified
from shared.errors import BadInput
from shared.telemetry.digest import sha256_bytes


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened. `subject` is what it happened to: events of one thing keep their order."""

    type: str
    source: str
    id: str
    data: dict[str, Any]
    subject: str | None = None
    time: datetime | None = None


Read = Callable[[Incoming], Iterator[Told]]
"""Raises BadInput when the payload is not what the vendor sends."""

CREATION = ".creation"
UNPROVED = "unproved-mail"  # the subject of mails that anybody may have written
CALL_ENDS = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


def stripe(request: Incoming) -> Iterator[Told]:
    """One event object. Thin notifications (`v2.core.event`) carry no object and belong to an API nobody here uses."""
    event = _object(_json(request), "body")
    if event.get("object") == "v2.core.event":
        raise _unfit("object", "a thin event carries no data", "Register an endpoint for snapshot events.")
    about = _object(_object(event.get("data"), "data").get("object"), "data.object")
    subject = about.get("customer") or about.get("id")
    subject = subject.get("id") if isinstance(subject, dict) else subject
    kind = f"com.stripe.{_text(event, 'type')}"
    yield Told(kind, "/stripe", _text(event, "id"), event, _subject(subject), moment(event.get("created")))


def from_twilio(request: Incoming) -> Iterator[Told]:
    """A message that came, news of one that was sent, or a call that ended."""
    data = _twilio_fields(request)
    if "MessageSid" in data or "SmsSid" in data:
        sid = _text(data, "MessageSid" if "MessageSid" in data else "SmsSid")
        status = data.get("MessageStatus") or data.get("SmsStatus") or "received"
        if status in ("received", "receiving"):
            yield Told("com.twilio.message.received", "/twilio", f"{sid}:received", data, _subject(data.get("From")))
        else:
            yield Told("com.twilio.message.status", "/twilio", f"{sid}:{status}", data, _subject(data.get("To")))
        return
    sid, status = _text(data, "CallSid"), _text(data, "CallStatus")
    kind = "completed" if status in CALL_ENDS else status
    yield Told(f"com.twilio.call.{kind}", "/twilio", f"{sid}:{status}", data, f"call:{sid}")


def hubspot(request: Incoming) -> Iterator[Told]:
    """A list of items. HubSpot does not promise that `eventId` is unique, so the identity has more in it."""
    items = _json(request)
    for place, item in enumerate(items if isinstance(items, list) else [items]):
        item = _object(item, str(place))
        kind = f"com.hubspot.{_of_what(item)}"
        about, sent_at = item.get("objectId"), item.get("occurredAt")
        at = moment(sent_at / 1000) if isinstance(sent_at, int | float) else None
        subject = _subject(f"{kind.split('.')[2]}:{about}") if about is not None else None
        event_id = _of_hubspot(kind, item, subject)
        yield Told(kind, f"/hubspot/{item.get('portalId', '-')}", event_id, item, subject, at)


def _of_hubspot(kind: str, item: dict[str, Any], subject: str | None) -> str:
    """What is unique at HubSpot. An object is created once, however many subscriptions and lists tell of it."""
    if subject and kind.endswith(CREATION):
        return f"{subject}:creation"
    event_id = identified(kind, _text(item, "eventId"), item)
    return f"{event_id}:{item['propertyName']}" if item.get("propertyName") else event_id


_OBJECT_TYPES = {"0-1": "contact", "0-2": "company", "0-3": "deal", "0-5": "ticket"}


def _of_what(item: dict[str, Any]) -> str:
    """`contact.creation`, which newer subscriptions write as `object.creation` and the type's id."""
    kind = _text(item, "subscriptionType")
    return re.sub("^object(?=\\.)", _OBJECT_TYPES.get(str(item.get("objectTypeId")), "object"), kind)


def quickbooks(request: Incoming) -> Iterator[Told]:
    """CloudEvents, or the older notifications read as such."""
    body = _json(request)
    if isinstance(body, dict) and "eventNotifications" in body:
        yield from _older_quickbooks(body)
        return
    for place, given in enumerate(body if isinstance(body, list) else [body]):
        event = _object(given, str(place))
        yield _of_quickbooks(event, _text(event, "id"))


def _older_quickbooks(body: dict[str, Any]) -> Iterator[Told]:
    for notification in _list(body.get("eventNotifications"), "eventNotifications"):
        notification = _object(notification, "eventNotifications")
        change = _object(notification.get("dataChangeEvent"), "dataChangeEvent")
        for entity in _list(change.get("entities"), "entities"):
            entity = _object(entity, "entities")
            name, key, operation = (_text(entity, field) for field in ("name", "id", "operation"))
            operation = _PAST.get(operation.lower(), operation.lower())
            data = {
                "specversion": "1.0",
                "type": f"qbo.{name.lower()}.{operation}.v1",
                "time": entity.get("lastUpdated"),
                "intuitentityid": key,
                "intuitaccountid": _text(notification, "realmId"),
                "data": {k: v for k, v in entity.items() if k not in ("name", "id", "operation", "lastUpdated")},
            }
            yield _of_quickbooks(data, f"{name}:{key}:{operation}:{_text(entity, 'lastUpdated')}")


_PAST = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "merge": "merged",
    "void": "voided",
    "emailed": "emailed",
}


def _of_quickbooks(data: dict[str, Any], event_id: str) -> Told:
    parts = _text(data, "type").lower().removesuffix(".v1").split(".")
    kind = ".".join(["com.intuit", *parts])
    subject = f"{parts[1]}:{data.get('intuitentityid')}" if len(parts) > 1 else None
    source = f"/quickbooks/{_text(data, 'intuitaccountid')}"
    return Told(kind, source, event_id, data, _subject(subject), moment(data.get("time")))


def elevenlabs(request: Incoming) -> Iterator[Told]:
    """A post-call webhook: one of each type for a conversation."""
    event = _object(_json(request), "body")
    kind, about = _text(event, "type"), _object(event.get("data"), "data")
    conversation = _text(about, "conversation_id")
    at = moment(event.get("event_timestamp"))
    event_id = f"{conversation}:{kind}"
    yield Told(f"com.elevenlabs.{kind}", "/elevenlabs", event_id, event, _subject(conversation), at)


def airtable(request: Incoming) -> Iterator[Told]:
    """A ping that says that a base changed; or what changed, from the webhook's list of payloads."""
    ping = _object(_json(request), "body")
    base = _text(_object(ping.get("base"), "base"), "id")
    hook = _text(_object(ping.get("webhook"), "webhook"), "id")
    if "payload" in ping:
        payload = _object(ping["payload"], "payload")
        number, at = _text(payload, "baseTransactionNumber"), moment(payload.get("timestamp"))
        yield Told("com.airtable.base.changed", f"/airtable/{base}", f"{hook}:{number}", ping, base, at)
        return
    sent = _text(ping, "timestamp")
    yield Told("com.airtable.webhook.notified", f"/airtable/{base}", f"{hook}:{sent}", ping, base, moment(sent))


def mail(secrets: Secrets, request: Incoming) -> Iterator[Told]:
    """A mail as it came, or an entry of the mailbox's list. What comes from the business's own address is no news to it."""
    arrived, truncated, raw = None, False, request.body
    if request.content_type == "application/json":
        entry = read_object(request)
        arrived, truncated = moment(entry.get("received_at")), bool(entry.get("truncated"))
        try:
            raw = base64.b64decode(_text(entry, "rfc822_base64"), validate=True)
        except ValueError as error:
            raise _unfit("rfc822_base64", "not base64", None) from error
    letter = read_mail(raw, secrets, truncated=truncated)
    kind = "viox.mail.own" if letter.is_ours else MAIL_TYPE
    # An address is nobody's to find here for ever, and mails in somebody's name do not hold up that person's own.
    about = f"mail:{sha256_bytes(letter.data['sender'].encode())[:32]}" if letter.data["verified"] else UNPROVED
    yield Told(kind, "/mail", letter.id, letter.data, about, arrived)


def n8n(request: Incoming) -> Iterator[Told]:
    """What an error workflow passes on. A workflow whose trigger failed has no execution, and so nothing unique."""
    failure = _object(_json(request), "body")
    workflow = _object(failure.get("workflow"), "workflow")
    about = str(workflow.get("id") or workflow.get("name") or "-")
    execution = failure.get("execution")
    run = execution.get("id") if isinstance(execution, dict) else None
    event_id = f"{about}:{run}" if run is not None else _delivery_id(request)
    yield Told("com.n8n.execution.failed", "/n8n", event_id, failure, _subject(about))


def make(request: Incoming) -> Iterator[Told]:
    """What an error handler's HTTP module sends."""
    failure = _object(_json(request), "body")
    scenario, run = _text(failure, "scenarioId"), failure.get("executionId")
    event_id = f"{scenario}:{run}" if run is not None else _delivery_id(request)
    yield Told("com.make.scenario.failed", "/make", event_id, failure, scenario)


def _delivery_id(request: Incoming) -> str:
    """The id that a sender gave its delivery; without one every delivery is an event of its own."""
    return request.header("webhook-id") or request.header("idempotency-key") or str(uuid4())


def _twilio_fields(request: Incoming) -> dict[str, Any]:
    if request.content_type != twilio.FORM:
        return _object(_json(request), "body")
    try:
        pairs = twilio.parameters(request.body)
    except ValueError as error:
        raise _unfit("body", f"it is no form: {error}") from error
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(set(found)) == 1 else found for name, found in values.items()}


def _json(request: Incoming) -> Any:
    try:
        return read_json(request.body)
    except ValueError as error:
        raise _unfit("body", f"it is not JSON: {error}") from error


def read_object(request: Incoming) -> dict[str, Any]:
    """The body as a JSON object. Raises BadInput."""
    return _object(_json(request), "body")


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unfit(field, "it is not an object")
    return value


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise _unfit(field, "it is not a list")
    return value


def _text(value: Mapping[str, Any], field: str) -> str:
    """A text or whole number that must be there."""
    found = value.get(field)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise _unfit(field, "it is missing, or neither text nor a whole number")
    return str(found)


def _subject(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def moment(value: Any) -> datetime | None:
    """A time as vendors write it: seconds, or RFC 3339. None when it is neither: the time of arrival stands in."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        made = datetime.fromisoformat(value)
        return (made if made.tzinfo else made.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _unfit(field: str, problem: str, remedy: str | None = None) -> BadInput:
    return BadInput(
        "webhook.unfit",
        f"the payload does not fit: {problem}.",
        field=field,
        remedy=remedy or "Compare it with what the vendor documents.",
    )
