"""The vendors that list what happened: which lists, and what is needed to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.tool_gateway.webhooks.polling import airtable, elevenlabs, hubspot, mailbox, quickbooks, stripe, twilio
from services.tool_gateway.webhooks.polling.step import Listing, Position, Read


@dataclass(frozen=True, slots=True)
class Vendor:
    """`tool` reads with the credentials that all its lists need, `settings` are needed besides. Of a vendor whose lists are only
    found by asking, `finding` is the list that names them, and `found` the reader of any (list, seconds before the first look).
    `points_at`: its deliveries carry nothing but which list has something to read, and where one begins that is not known yet.
    `pause`: seconds between rounds where its list is the usual way, with no webhook at all."""

    name: str
    tool: str
    lists: Mapping[str, Read]
    settings: tuple[str, ...] = ()
    finding: str = ""
    found: Callable[[str, float], Read] | None = None
    points_at: Callable[[Mapping[str, Any], datetime, float], tuple[str, Position]] | None = None
    pause: float | None = None

    @property
    def first_parts(self) -> list[str]:
        """The lists that are known before anything is asked."""
        return [*self.lists, *([self.finding] if self.finding else [])]

    def reader(self, part: str, first_seconds: float) -> Read:
        if self.found is not None and part not in self.lists:
            return self.found(part, first_seconds)
        return self.lists[part]


def _by_time(lists: Mapping[str, Listing]) -> dict[str, Read]:
    return {name: listing.read for name, listing in lists.items()}


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor("stripe", stripe.TOOL, _by_time(stripe.LISTS)),
        Vendor("twilio", twilio.MESSAGES, _by_time(twilio.LISTS)),
        Vendor("hubspot", hubspot.ACCOUNT, _by_time(hubspot.LISTS)),
        Vendor("quickbooks", quickbooks.TOOL, _by_time(quickbooks.LISTS), (quickbooks.REALM,)),
        Vendor("elevenlabs", elevenlabs.LIST, _by_time(elevenlabs.LISTS)),
        Vendor(
            "airtable",
            airtable.HOOKS,
            {},
            finding=airtable.LOOKING,
            found=airtable.reader,
            points_at=airtable.pointed_at,
        ),
        Vendor("mail", mailbox.LIST, {"mailbox": mailbox.read}, (mailbox.HOST,), pause=30.0),
    )
}
