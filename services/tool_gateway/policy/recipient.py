"""Whom a text message or call reaches, and whether that person is to be left alone now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.tool_gateway.catalogue.tools import Tool
from shared.bus.consent import address_key
from shared.business import Business
from shared.recipients import zone_of

CHANNELS = ("sms", "phone")


@dataclass(frozen=True, slots=True)
class Recipient:
    """`ours`: one of the business's own people. `quiet_until`: the end of the quiet hours that the person is in, as clocks show
    it there; None outside of them."""

    number: str
    ours: bool
    quiet_until: datetime | None = None


def recipient_of(
    tool: Tool, arguments: Mapping[str, Any], business: Business, insiders: Collection[str], now: datetime
) -> Recipient | None:
    """None for a call that reaches nobody by telephone."""
    if tool.address is None or tool.address.channel not in CHANNELS:
        return None
    number = address_key(str(arguments.get(tool.address.argument) or "").rpartition(":")[2])
    ours = number in insiders
    if business.quiet_hours is None or ours:
        return Recipient(number, ours)
    zone = zone_of(number, business.zone, now)
    loud = business.next_loud(now, zone)
    return Recipient(number, ours, loud.astimezone(zone) if loud > now else None)
