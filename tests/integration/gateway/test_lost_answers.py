"""Every effect of HubSpot and QuickBooks whose answer is lost: found again by looking, or repeated under its key. Never two."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue
from shared.ids import call_id
from tests.integration.gateway.world import RUN, World, gateway_world, until, wants

__all__ = ["gateway_world"]
TOOLS = catalogue.load().tools
OLD = "2026-01-02T03:04:05.678Z"
THEN = "2030-01-01T09:00:00Z"


def link(contact: str, kind: int) -> list[Any]:
    return [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]}]


ONCE: dict[str, tuple[str, dict[str, str], int | None]] = {
    "hubspot_create_contact": ("contacts", {"email": "Ana@X.co"}, None),
    "hubspot_create_company": ("companies", {"name": "Söhne & Co", "domain": "x.co"}, None),
    "hubspot_create_deal": ("deals", {"dealname": "Roof", "dealstage": "contractsent", "amount": "12.50"}, 3),
    "hubspot_create_ticket": ("tickets", {"subject": "Leak", "hs_pipeline_stage": "1"}, 16),
    "hubspot_create_note": ("notes", {"hs_timestamp": THEN, "hs_note_body": "called, twice"}, 202),
    "hubspot_create_task": ("tasks", {"hs_timestamp": THEN, "hs_task_subject": "Call back"}, 204),
}
"""Tool → kind of object, its properties, and the type of its association with a contact."""
MERGE = "hubspot_merge_contacts"


def test_every_single_effect_of_hubspot_is_here() -> None:
    once = {name for name, tool in TOOLS.items() if tool.vendor == "hubspot" and tool.effect == "once"}
    assert once == {*ONCE, MERGE}


def arguments(tool: str, contact: str) -> dict[str, Any]:
    kind, properties, association = ONCE[tool]
    return {"properties": properties} | ({"associations": link(contact, association)} if association else {})


def contacts_and_decoys(world: World, tool: str) -> str:
    """A contact to be named. Beside it, what a careless look-up would take for ours: the same thing, of another contact or
    of long ago."""
    kind, properties, association = ONCE[tool]
    hubspot = world.hubspot
    mine, other = (str(hubspot._insert("contacts", {"email": e}, [])["id"]) for e in ("mine@x.co", "other@x.co"))
    if kind != "contacts":
        old = hubspot._insert(kind, properties, link(mine, association) if association else [])
        old["createdAt"] = OLD
        if association:
            hubspot._insert(kind, properties, link(other, association))
    hubspot.effects.clear()
    return mine


@pytest.mark.rule(9)
@pytest.mark.parametrize("tool", ONCE)
async def test_what_happened_is_found_and_not_done_again(world: World, tool: str) -> None:
    contact = contacts_and_decoys(world, tool)
    gateway = await world.gateway("outcomes", "resumer")
    world.fault(world.hubspot, "cut_after", method="POST", path=ONCE[tool][0])
    await gateway.intake.accept([wants(tool, arguments(tool, contact))])
    await world.state("unknown")
    await world.gateway("settler", "resumer", "outcomes")
    row = await world.state("succeeded")
    (effect,) = world.hubspot.effects
    assert (row["attempt"], json.loads(row["result"])["id"]) == (1, effect["id"])
    assert {"look_up", "settled"} <= set(await world.phases())


def two_contacts(world: World) -> dict[str, str]:
    one, other = (str(world.hubspot._insert("contacts", {"email": e}, [])["id"]) for e in ("one@x.co", "other@x.co"))
    world.hubspot.effects.clear()
    return {"primaryObjectId": one, "objectIdToMerge": other}


@pytest.mark.rule(9)
@pytest.mark.parametrize(("fault", "attempts"), [("cut_after", 1), ("cut_before", 2)])
async def test_a_merge_whose_answer_was_lost_is_made_once(world: World, fault: str, attempts: int) -> None:
    both = two_contacts(world)
    gateway = await world.gateway()
    world.fault(world.hubspot, fault, method="POST", path="merge")
    await gateway.intake.accept([wants(MERGE, both)])
    await world.unknown_for()
    row = await world.state("succeeded")
    assert row["attempt"] == attempts
    assert [effect["operation"] for effect in world.hubspot.effects] == ["merge"]


INDEX_ONLY = "hubspot_create_company"  # no list but a search has companies by name, and that lags


@pytest.mark.rule(9)
@pytest.mark.parametrize("tool", sorted(ONCE.keys() - {INDEX_ONLY}))
async def test_what_did_not_happen_is_proven_absent_and_done_once(world: World, tool: str) -> None:
    contact = contacts_and_decoys(world, tool)
    gateway = await world.gateway()
    world.fault(world.hubspot, "cut_before", method="POST", path=ONCE[tool][0])
    await gateway.intake.accept([wants(tool, arguments(tool, contact))])
    await world.unknown_for()
    row = await world.state("succeeded")
    assert row["attempt"] == 2
    assert [effect["operation"] for effect in world.hubspot.effects] == ["create"]


@pytest.mark.rule(10)
@pytest.mark.parametrize("tool", ["hubspot_create_deal", "hubspot_create_note", INDEX_ONLY])
async def test_what_the_index_does_not_show_yet_is_not_done_again(world: World, tool: str) -> None:
    contact = contacts_and_decoys(world, tool)
    for made in world.hubspot.objects[ONCE[tool][0]].values():
        made["_at"] -= 1e6
    world.hubspot.index_delay = 1e5
    gateway = await world.gateway("outcomes", "resumer")
    world.fault(world.hubspot, "cut_after", method="POST", path=ONCE[tool][0])
    await gateway.intake.accept([wants(tool, arguments(tool, contact))])
    await world.unknown_for()
    await world.gateway("settler", "resumer", "outcomes")
    await looked(world, 2)
    assert (await world.state("unknown"))["attempt"] == 1
    world.hubspot.index_delay = 0  # it has caught up
    await world.unknown_for()
    assert (await world.state("succeeded"))["attempt"] == 1
    assert [effect["operation"] for effect in world.hubspot.effects] == ["create"]


@pytest.mark.rule(10)
async def test_a_company_that_is_not_found_waits_for_a_person(world: World) -> None:
    contacts_and_decoys(world, INDEX_ONLY)
    world.fault(world.hubspot, "cut_before", method="POST", path="companies")
    await (await world.gateway()).intake.accept([wants(INDEX_ONLY, arguments(INDEX_ONLY, ""))])
    await world.unknown_for()
    await looked(world, 2)
    assert (await world.state("unknown"))["attempt"] == 1
    assert world.hubspot.effects == []


async def looked(world: World, times: int) -> None:
    """Until the call was looked up so often, each time without delay."""
    for number in range(1, times + 1):
        await world.unknown_for()
        async with asyncio.timeout(60):
            while (await world.call())["look_ups"] < number:
                await asyncio.sleep(0.05)


@pytest.mark.rule(10)
async def test_a_note_that_was_sanitised_is_found(world: World) -> None:
    contact = contacts_and_decoys(world, "hubspot_create_note")
    asked = arguments("hubspot_create_note", contact)
    asked["properties"] = asked["properties"] | {"hs_note_body": '<p onclick="x()">Tea & cake<br/>Call</p>'}
    world.fault(world.hubspot, "cut_after", method="POST", path="notes")
    await (await world.gateway("outcomes", "resumer")).intake.accept([wants("hubspot_create_note", asked)])
    await world.state("unknown")
    await world.gateway("settler", "resumer", "outcomes")
    row = await world.state("succeeded")
    (effect,) = world.hubspot.effects
    assert (row["attempt"], json.loads(row["result"])["id"]) == (1, effect["id"])


async def test_a_contact_of_long_ago_is_not_taken_for_the_new_one(world: World) -> None:
    """No answer to a create that HubSpot would have refused: it is asked again and says who has the address."""
    world.hubspot._insert("contacts", {"email": "ana@x.co"}, [])["createdAt"] = OLD
    gateway = await world.gateway()
    world.fault(world.hubspot, "500", method="POST")
    await gateway.intake.accept([wants("hubspot_create_contact", arguments("hubspot_create_contact", ""))])
    await world.unknown_for()
    assert "Existing ID" in str((await world.state("failed"))["error"])


def prepared_books(world: World) -> dict[str, str]:
    books = world.quickbooks.books
    customer = books.create("Customer", {"DisplayName": "Ana"})["Id"]
    line = {"Amount": 80, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "1"}}}
    invoice = books.create("Invoice", {"CustomerRef": {"value": customer}, "Line": [line]})["Id"]
    vendor = books.create("Vendor", {"DisplayName": "Paper Ltd"})["Id"]
    return {"customer": customer, "invoice": invoice, "vendor": vendor, "account": books.accounts["Office Expenses"]}


KEYED: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "quickbooks_create_customer": lambda b: {"DisplayName": "Bo"},
    "quickbooks_update_customer": lambda b: {"Id": b["customer"], "SyncToken": "0", "CompanyName": "Ana & Co"},
    "quickbooks_create_invoice": lambda b: {
        "CustomerRef": {"value": b["customer"]},
        "Line": [
            {"Amount": 9.5, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "1"}}}
        ],
    },
    "quickbooks_update_invoice": lambda b: {"Id": b["invoice"], "SyncToken": "0", "DueDate": "2031-01-31"},
    "quickbooks_void_invoice": lambda b: {"Id": b["invoice"], "SyncToken": "0"},
    "quickbooks_send_invoice": lambda b: {"invoiceId": b["invoice"], "sendTo": "ana@x.co"},
    "quickbooks_create_payment": lambda b: {"CustomerRef": {"value": b["customer"]}, "TotalAmt": 30.1},
    "quickbooks_create_bill": lambda b: {
        "VendorRef": {"value": b["vendor"]},
        "Line": [
            {
                "Amount": 5,
                "DetailType": "AccountBasedExpenseLineDetail",
                "AccountBasedExpenseLineDetail": {"AccountRef": {"value": b["account"]}},
            }
        ],
    },
}


def test_every_keyed_effect_of_quickbooks_is_here() -> None:
    effects = {name: tool.effect for name, tool in TOOLS.items() if tool.vendor == "quickbooks"}
    assert {name for name, effect in effects.items() if effect != "read"} == KEYED.keys()
    assert all(effects[name] == "keyed" for name in KEYED)


@pytest.mark.rule(9)
@pytest.mark.parametrize("tool", KEYED)
async def test_a_keyed_effect_is_repeated_as_the_ledger_has_it_and_happens_once(world: World, tool: str) -> None:
    asked = KEYED[tool](prepared_books(world))
    gateway = await world.gateway("outcomes", "resumer")
    world.fault(world.quickbooks, "cut_after", method="POST", path="/v3/company/")
    await gateway.intake.accept([wants(tool, asked)])
    await until(lambda: world.quickbooks.effects)
    world.secrets["QUICKBOOKS_MINOR_VERSION"] = "99"  # a request made anew would carry it
    row = await world.state("succeeded")
    assert row["attempt"] == 2
    assert len(world.quickbooks.effects) == 1
    first, second = [seen for seen in world.seen if seen[1].startswith("/v3/company/")]
    assert first == second
    assert f"requestid={call_id(RUN, 1, 0)}" in second[1]
    assert "minorversion=75" in second[1]
    entries = await world.admin.fetch(
        "select url, request_body from ledger_entries where phase = 'intent' order by entry_id"
    )
    assert len(entries) == 2
    assert entries[0] == entries[1]
    assert second[2] == (entries[0]["request_body"] or b"")
    assert json.loads(row["result"]), "the repeat had the first answer"


async def test_a_fault_with_status_200_fails_the_call_in_quickbooks_own_words(world: World) -> None:
    gateway = await world.gateway()
    world.fault(world.quickbooks, "failed_200", method="POST", path="/customer")
    await gateway.intake.accept([wants("quickbooks_create_customer", {"DisplayName": "Bo"})])
    row = await world.state("failed")
    assert row["attempt"] == 1
    assert "tool.vendor_refused" in str(row["error"])
    assert "Business Validation Error: injected fault" in str(row["error"])
    assert world.quickbooks.effects == []
