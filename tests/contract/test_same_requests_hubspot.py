"""HubSpot: our requests equal those of its SDK, for every tool of the document."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import hubspot.crm.contacts as contacts_api
    import hubspot.crm.objects as objects_api
    from hubspot import HubSpot as Sdk

from sandbox.vendors.hubspot import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TOKEN, HubSpot
from sandbox.vendors.oauth import Access
from tests.contract.side_by_side import TOOLS, SideBySide

pytestmark = pytest.mark.filterwarnings("ignore")
HEADERS = ("authorization", "content-type")
"""Not Accept: the SDK says that it takes anything besides JSON, although it reads JSON only."""
MADE: dict[str, dict[str, str]] = {
    "contacts": {"email": "Ana+1@X.co", "firstname": "Ana & Bo"},
    "companies": {"name": "Söhne & Co", "domain": "x.co"},
    "deals": {"dealname": "D", "dealstage": "contractsent", "amount": "12.50"},
    "tickets": {"subject": "Broken", "hs_pipeline": "0", "hs_pipeline_stage": "1", "content": "a\nb"},
    "notes": {"hs_timestamp": "2026-01-01T00:00:00Z", "hs_note_body": "called"},
    "tasks": {"hs_timestamp": "2026-01-01T00:00:00Z", "hs_task_subject": "Call back", "hs_task_status": "NOT_STARTED"},
}
TO_CONTACT = {"deals": 3, "tickets": 16, "notes": 202, "tasks": 204}
SINGULAR = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "tickets": "ticket",
    "notes": "note",
    "tasks": "task",
}


@pytest.fixture
def both() -> Iterator[SideBySide]:
    settings = {"HUBSPOT_ACCESS_TOKEN": TOKEN, "HUBSPOT_BASE_URL": "{url}"}
    made = SideBySide(HubSpot(index_delay=0), settings, HEADERS)
    yield made
    made.close()


@dataclass
class Account:
    """The SDK, and a contact and a company it has made."""

    sdk: Any
    contact: str
    company: str

    def make(self, kind: str, properties: dict[str, str], links: list[Any] | None = None) -> Any:
        given = objects_api.SimplePublicObjectInputForCreate(properties=properties, associations=links or [])
        return self.sdk.crm.objects.basic_api.create(kind, given)


@pytest.fixture
def account(both: SideBySide) -> Account:
    made = Account(Sdk(access_token=TOKEN, host=both.url, base_url=both.url, retry=False), "", "")
    made.contact = made.make("contacts", {"email": "first@x.co"}).id
    made.company = made.make("companies", {"name": "First"}).id
    return made


Case = Callable[[Account], tuple[dict[str, Any], Callable[[], Any]]]


def create(kind: str) -> Case:
    def case(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
        ours: dict[str, Any] = {"properties": MADE[kind]}
        links = []
        if kind in TO_CONTACT:
            spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TO_CONTACT[kind]}
            ours["associations"] = [{"to": {"id": a.contact}, "types": [spec]}]
            types = [
                objects_api.AssociationSpec(
                    association_category="HUBSPOT_DEFINED", association_type_id=TO_CONTACT[kind]
                )
            ]
            links = [objects_api.PublicAssociationsForObject(to=objects_api.PublicObjectId(id=a.contact), types=types)]

        def theirs() -> None:
            if kind != "contacts":
                a.make(kind, MADE[kind], links)
                return
            with pytest.raises(
                objects_api.ApiException
            ) as taken:  # the address is taken: refused, and the same request
                a.make(kind, MADE[kind], links)
            assert taken.value.status == 409

        return ours, theirs

    return case


def update(kind: str) -> Case:
    def case(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
        made = a.make(kind, MADE[kind])
        change: dict[str, Any] = {"hubspot_owner_id": "2"}
        given = objects_api.SimplePublicObjectInput(properties=change)
        api = a.sdk.crm.objects.basic_api
        return {f"{SINGULAR[kind]}Id": made.id, "properties": change}, lambda: api.update(kind, made.id, given)

    return case


def get(kind: str, *properties: str) -> Case:
    def case(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
        made = a.make(kind, MADE[kind])
        api = a.sdk.crm.objects.basic_api
        ours = {f"{SINGULAR[kind]}Id": made.id, "properties": list(properties)}
        return ours, lambda: api.get_by_id(kind, made.id, properties=list(properties))

    return case


def search(kind: str, name: str, operator: str, **more: Any) -> Case:
    def case(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
        wanted = {"propertyName": name, "operator": operator} | {k: v for k, v in more.items() if k != "high_value"}
        if "high_value" in more:
            wanted["highValue"] = more["high_value"]
        ours = {
            "filterGroups": [{"filters": [wanted]}],
            "sorts": ["-hs_lastmodifieddate"],
            "properties": [name],
            "limit": 20,
            "after": "0",
        }
        filters = [objects_api.Filter(property_name=name, operator=operator, **more)]
        asked = objects_api.PublicObjectSearchRequest(
            filter_groups=[objects_api.FilterGroup(filters=filters)],
            sorts=["-hs_lastmodifieddate"],
            properties=[name],
            limit=20,
            after="0",
        )
        return ours, lambda: a.sdk.crm.objects.search_api.do_search(kind, asked)

    return case


def by_email(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    api = a.sdk.crm.contacts.basic_api
    names = ["email", "phone"]
    return {"email": "first@x.co", "properties": names}, lambda: api.get_by_id(
        "first@x.co", id_property="email", properties=names
    )


def upsert(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    addresses = ("first@x.co", "new@x.co")
    ours = [{"id": e, "idProperty": "email", "properties": {"lastname": "Z"}} for e in addresses]
    theirs = [
        contacts_api.SimplePublicObjectBatchInputUpsert(id=e, id_property="email", properties={"lastname": "Z"})
        for e in addresses
    ]
    batch = contacts_api.BatchInputSimplePublicObjectBatchInputUpsert(inputs=theirs)
    return {"inputs": ours}, lambda: a.sdk.crm.contacts.batch_api.upsert(batch)


def list_contacts(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    names = ["email", "phone"]
    ours = {"limit": 50, "after": "3", "properties": names}
    return ours, lambda: a.sdk.crm.contacts.basic_api.get_page(limit=50, after="3", properties=names)


def merge(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    other = a.make("contacts", {"email": "first+again@x.co"}).id
    given = contacts_api.PublicMergeInput(primary_object_id=a.contact, object_id_to_merge=other)

    def theirs() -> None:
        with contextlib.suppress(contacts_api.ApiException):  # ours has merged them already
            a.sdk.crm.contacts.basic_api.merge(given)

    return {"primaryObjectId": a.contact, "objectIdToMerge": other}, theirs


def associate(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    ours = {"fromType": "contacts", "fromId": a.contact, "toType": "companies", "toId": a.company}
    return ours, lambda: a.sdk.crm.associations.v4.basic_api.create_default(
        "contacts", a.contact, "companies", a.company
    )


def list_associations(a: Account) -> tuple[dict[str, Any], Callable[[], Any]]:
    api = a.sdk.crm.associations.v4.basic_api
    ours = {"fromType": "contacts", "fromId": a.contact, "toType": "companies", "limit": 10, "after": "1"}
    return ours, lambda: api.get_page("contacts", a.contact, "companies", limit=10, after="1")


CASES: dict[str, Case] = {
    **{f"hubspot_create_{SINGULAR[kind]}": create(kind) for kind in MADE},
    **{f"hubspot_update_{SINGULAR[kind]}": update(kind) for kind in ("contacts", "companies", "deals", "tickets")},
    "hubspot_get_contact": get("contacts", "email", "phone"),
    "hubspot_get_company": get("companies", "name"),
    "hubspot_get_deal": get("deals", "dealname", "amount"),
    "hubspot_get_ticket": get("tickets", "subject"),
    "hubspot_get_contact_by_email": by_email,
    "hubspot_search_contacts": search("contacts", "email", "IN", values=["first@x.co", "b@x.co"]),
    "hubspot_search_companies": search("companies", "name", "CONTAINS_TOKEN", value="Fir*"),
    "hubspot_search_deals": search("deals", "amount", "BETWEEN", value="1", high_value="20"),
    "hubspot_search_tickets": search("tickets", "subject", "HAS_PROPERTY"),
    "hubspot_search_notes": search("notes", "hs_timestamp", "GTE", value="1767225600000"),
    "hubspot_search_tasks": search("tasks", "hs_task_status", "EQ", value="NOT_STARTED"),
    "hubspot_upsert_contacts": upsert,
    "hubspot_list_contacts": list_contacts,
    "hubspot_merge_contacts": merge,
    "hubspot_associate": associate,
    "hubspot_list_associations": list_associations,
    "hubspot_get_account": lambda a: ({}, lambda: a.sdk.api_request({"path": "/account-info/v3/details"})),
    "hubspot_list_owners": lambda a: (
        {"email": "sales@example.com", "limit": 5},
        lambda: a.sdk.crm.owners.owners_api.get_page(email="sales@example.com", limit=5),
    ),
    "hubspot_list_pipelines": lambda a: (
        {"objectType": "tickets"},
        lambda: a.sdk.crm.pipelines.pipelines_api.get_all("tickets"),
    ),
}


def test_every_tool_is_compared() -> None:
    assert {name for name, tool in TOOLS.items() if tool.vendor == "hubspot"} == CASES.keys()


@pytest.mark.parametrize("tool", CASES)
def test_our_requests_equal_the_sdks(both: SideBySide, account: Account, tool: str) -> None:
    arguments, theirs = CASES[tool](account)
    ours = both.ours(tool, **arguments)
    theirs()
    assert ours == both.theirs()


def test_the_history_of_properties_is_asked_for_as_the_sdk_does(both: SideBySide, account: Account) -> None:
    api, names = account.sdk.crm.objects.basic_api, ["email", "phone"]
    ours = both.ours("hubspot_get_contact", contactId=account.contact, properties=names, propertiesWithHistory=names)
    api.get_by_id("contacts", account.contact, properties=names, properties_with_history=names)
    assert ours == both.theirs()


def test_a_public_app_proves_itself_by_oauth(both: SideBySide) -> None:
    """Without a private app's token the second alternative is taken; with both, the private app's."""
    values: Any = both.secrets._values
    del values["HUBSPOT_ACCESS_TOKEN"]
    values |= {
        "HUBSPOT_CLIENT_ID": CLIENT_ID,
        "HUBSPOT_CLIENT_SECRET": CLIENT_SECRET,
        "HUBSPOT_REFRESH_TOKEN": REFRESH_TOKEN,
        "ACCESS_TOKEN": "of-the-app",
    }
    emulator: Any = both.emulator
    emulator.oauth.access["of-the-app"] = Access("consent", time.monotonic() + 60)
    assert both.ours("hubspot_list_owners").headers["authorization"] == "Bearer of-the-app"
    values["HUBSPOT_ACCESS_TOKEN"] = TOKEN
    assert both.ours("hubspot_list_owners").headers["authorization"] == f"Bearer {TOKEN}"


def test_an_upsert_says_what_is_new_and_may_be_repeated(both: SideBySide, account: Account) -> None:
    inputs = [
        {"id": "first@x.co", "idProperty": "email", "properties": {"lastname": "Z"}},
        {"id": "new@x.co", "idProperty": "email", "properties": {"lastname": "Z"}},
    ]
    first = both.call("hubspot_upsert_contacts", inputs=inputs).result
    assert [row["new"] for row in first["results"]] == [False, True]
    again = both.call("hubspot_upsert_contacts", inputs=inputs).result
    assert [row["id"] for row in again["results"]] == [row["id"] for row in first["results"]]


@pytest.mark.parametrize("kind", TO_CONTACT)
def test_what_is_looked_up_by_its_contact_begins_with_it(kind: str) -> None:
    tool = TOOLS[f"hubspot_create_{SINGULAR[kind]}"]

    def links(*types: int) -> list[Any]:
        spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number} for number in types]
        return [{"to": {"id": "7"}, "types": [one]} for one in spec]

    given: dict[str, Any] = {"properties": MADE[kind]}
    assert tool.problem_with(given | {"associations": links(TO_CONTACT[kind], 341)}) is None
    for wrong in (given, given | {"associations": []}, given | {"associations": links(341, TO_CONTACT[kind])}):
        assert tool.problem_with(wrong), wrong
