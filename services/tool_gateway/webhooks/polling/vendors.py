"""The vendors that list what happened: which lists, and what is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.tool_gateway.webhooks.polling import airtable, elevenlabs, hubspot, quickbooks, stripe, twilio
from services.tool_gateway.webhooks.polling.step import Listing


@dataclass(frozen=True, slots=True)
class Vendor:
    """`tool` reads with the credentials that all its lists need, `settings` are needed besides. `only_says_so`: its deliveries
    carry nothing but that there is something to read."""

    name: str
    tool: str
    lists: Mapping[str, Listing]
    settings: tuple[str, ...] = ()
    only_says_so: bool = False


VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor("stripe", stripe.TOOL, stripe.LISTS),
        Vendor("twilio", twilio.MESSAGES, twilio.LISTS),
        Vendor("hubspot", hubspot.ACCOUNT, hubspot.LISTS),
        Vendor("quickbooks", quickbooks.TOOL, quickbooks.LISTS, (quickbooks.REALM,)),
        Vendor("elevenlabs", elevenlabs.LIST, elevenlabs.LISTS),
        Vendor("airtable", airtable.HOOKS, {}, only_says_so=True),
    )
}
