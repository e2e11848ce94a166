"""The vendors that list what happened: which lists, and what is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.tool_gateway.webhooks.polling import airtable, elevenlabs, hubspot, mailbox, quickbooks, stripe, twilio
from services.tool_gateway.webhooks.polling.step import Counted, Listing


@dataclass(frozen=True, slots=True)
class Vendor:
    """`tool` reads with the credentials that all its lists need, `settings` are needed besides. `only_says_so`: its deliveries
    carry nothing but that there is something to read. `pause`: seconds between rounds where its list is the usual way, with no
    webhook at all."""

    name: str
    tool: str
    lists: Mapping[str, Listing | Counted]
    settings: tuple[str, ...] = ()
    only_says_so: bool = False
    pause: float | None = None


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor("stripe", stripe.TOOL, stripe.LISTS),
        Vendor("twilio", twilio.MESSAGES, twilio.LISTS),
        Vendor("hubspot", hubspot.ACCOUNT, hubspot.LISTS),
        Vendor("quickbooks", quickbooks.TOOL, quickbooks.LISTS, (quickbooks.REALM,)),
        Vendor("elevenlabs", elevenlabs.LIST, elevenlabs.LISTS),
        Vendor("airtable", airtable.HOOKS, {}, only_says_so=True),
        Vendor("mail", mailbox.LIST, {"mailbox": Counted(mailbox.read)}, (mailbox.HOST,), pause=30.0),
    )
}
