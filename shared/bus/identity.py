"""What makes two deliveries the same event, where a vendor's own id and payload do not say it by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

# Type prefix → fields that count deliveries: a redelivery differs in them and says nothing else.
_DELIVERY_COUNTERS = {"com.hubspot.": ("attemptNumber",), "com.stripe.": ("pending_webhooks",)}
# HubSpot does not promise that its event ids are unique.
_IDENTITY = {"com.hubspot.": ("subscriptionId", "objectId", "occurredAt")}
_VENDOR_ID = {"com.hubspot.": "eventId"}


def content(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data without what only counts deliveries."""
    counters = _of(_DELIVERY_COUNTERS, event_type, ())
    return {name: value for name, value in data.items() if name not in counters}


def identified(event_type: str, message_id: str, data: Mapping[str, Any]) -> str:
    """The id of an event, with what the vendor's own id lacks to be one. Other ids are unique by CloudEvents' own rule."""
    if str(data.get(_of(_VENDOR_ID, event_type, ""))) != message_id:
        return message_id
    parts = [str(data[name]) for name in _of(_IDENTITY, event_type, ()) if data.get(name) is not None]
    return ":".join([message_id, *parts])


def _of(table: Mapping[str, Value], event_type: str, otherwise: Value) -> Value:
    return next((value for prefix, value in table.items() if event_type.startswith(prefix)), otherwise)
