"""HubSpot's own SDK takes the emulator for the real thing. All requests come from the SDK."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import hubspot.crm.associations.v4 as links_api
    import hubspot.crm.companies as companies_api
    import hubspot.crm.contacts as contacts_api
    import hubspot.crm.deals as deals_api
    import hubspot.crm.objects as objects_api
    import hubspot.crm.objects.notes as notes_api
    import hubspot.crm.tickets as tickets_api
    import hubspot.oauth as oauth_api
    from hubspot import HubSpot as Sdk
    from hubspot.crm.association_type import AssociationType
    from hubspot.utils.signature import Signature

from sandbox.vendors.hubspot import CLIENT_ID, CLIENT_SECRET, PORTAL_ID, REFRESH_TOKEN, TOKEN, HubSpot
from sandbox.vendors.hubspot_schema import PAIRS, SINGULAR
from tests.contract.emulators import Served
from tests.contract.receiver import Receiver

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def emulator() -> HubSpot:
    return HubSpot(index_delay=0)


def sdk(served: Served, token: str = TOKEN) -> Any:
    return Sdk(access_token=token, host=served.url, base_url=served.url, retry=False, client_side_validation=True)


def new_contact(email: str, **more: str) -> Any:
    return contacts_api.SimplePublicObjectInputForCreate(properties={"email": email, **more}, associations=[])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('<p onclick="x()">Tea & cake<br/>Call</p>', "<p>Tea &amp; cake<br>Call</p>"),
        ("<b>a</b><script>alert(1)</script>", "<b>a</b>"),
        ("called &amp; left a message", "called &amp; left a message"),
        ("plain", "plain"),
    ],
)
def test_the_text_of_a_note_is_kept_in_hubspots_own_form(served: Served, written: str, kept: str) -> None:
    api = sdk(served).crm.objects.notes.basic_api
    given = notes_api.SimplePublicObjectInputForCreate(
        properties={"hs_note_body": written, "hs_timestamp": "2030-01-01T00:00:00Z"}, associations=[]
    )
    made = api.create(given)
    assert api.get_by_id(made.id, properties=["hs_note_body"]).properties["hs_note_body"] == kept


def test_every_value_of_a_property_is_told_with_how_it_was_set(served: Served) -> None:
    api = sdk(served).crm.contacts.basic_api
    typed = served.control("typed", properties={"email": "Ana@X.co", "phone": "+1415"})
    api.update(typed["id"], contacts_api.SimplePublicObjectInput(properties={"phone": "+1416"}))
    api.update(typed["id"], contacts_api.SimplePublicObjectInput(properties={"phone": "+1416"}))
    found = api.get_by_id(typed["id"], properties_with_history=["email", "phone"]).properties_with_history
    told = {name: [(one.value, one.source_type) for one in values] for name, values in found.items()}
    assert told == {"email": [("ana@x.co", "CRM_UI")], "phone": [("+1416", "INTEGRATION"), ("+1415", "CRM_UI")]}
    assert (found["email"][0].updated_by_user_id, found["email"][0].source_id) == (9001, "userId:9001")


def test_what_a_merged_contact_brings_was_typed_by_nobody(served: Served) -> None:
    api = sdk(served).crm.contacts.basic_api
    kept = served.control("typed", properties={"email": "ana@x.co"})["id"]
    other = served.control("typed", properties={"email": "other@x.co", "phone": "+1415"})["id"]
    api.merge(contacts_api.PublicMergeInput(primary_object_id=kept, object_id_to_merge=other))
    (value,) = api.get_by_id(kept, properties_with_history=["phone"]).properties_with_history["phone"]
    assert (value.value, value.source_type) == ("+1415", "MERGE_OBJECTS")


def test_create_read_update_search_archive(served: Served) -> None:
    api = sdk(served).crm.contacts.basic_api
    made = api.create(new_contact("Ana@X.co", firstname="Ana"))
    assert api.get_by_id("ana@x.co", id_property="email", properties=["firstname"]).id == made.id
    api.update(made.id, contacts_api.SimplePublicObjectInput(properties={"phone": "+1415"}))
    assert api.get_by_id(made.id, properties=["phone", "firstname"]).properties["phone"] == "+1415"
    wanted = contacts_api.Filter(property_name="email", operator="EQ", value="ana@x.co")
    group = contacts_api.FilterGroup(filters=[wanted])
    request = contacts_api.PublicObjectSearchRequest(filter_groups=[group], limit=10)
    found = sdk(served).crm.contacts.search_api.do_search(request)
    assert (found.total, found.results[0].id) == (1, made.id)
    api.archive(made.id)
    assert api.get_page(limit=10).results == []


def test_pages_are_followed_to_the_end(served: Served) -> None:
    client = sdk(served)
    for number in range(7):
        client.crm.contacts.basic_api.create(new_contact(f"c{number}@x.co"))
    page = client.crm.contacts.basic_api.get_page(limit=3)
    seen = [c.id for c in page.results]
    while page.paging:
        page = client.crm.contacts.basic_api.get_page(limit=3, after=page.paging.next.after)
        seen += [c.id for c in page.results]
    assert len(set(seen)) == 7


def test_deals_and_notes_are_associated(served: Served) -> None:
    client = sdk(served)
    contact = client.crm.contacts.basic_api.create(new_contact("a@x.co"))
    link = deals_api.PublicAssociationsForObject(
        to=deals_api.PublicObjectId(id=contact.id),
        types=[deals_api.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=3)],
    )
    properties = {"dealname": "D", "dealstage": "appointmentscheduled", "amount": "12.50"}
    deal = client.crm.deals.basic_api.create(
        deals_api.SimplePublicObjectInputForCreate(properties=properties, associations=[link])
    )
    listed = client.crm.associations.v4.basic_api.get_page("contacts", contact.id, "deals")
    assert [str(r.to_object_id) for r in listed.results] == [deal.id]
    note = client.crm.objects.notes.basic_api.create(
        notes_api.SimplePublicObjectInputForCreate(
            properties={"hs_timestamp": "2026-01-01T00:00:00Z", "hs_note_body": "x"}, associations=[]
        )
    )
    client.crm.associations.v4.basic_api.create_default("notes", note.id, "contacts", contact.id)
    assert client.crm.associations.v4.basic_api.get_page("contacts", contact.id, "notes").results


def test_owners_and_pipelines(served: Served) -> None:
    client = sdk(served)
    assert client.crm.owners.owners_api.get_page().results[0].type == "PERSON"
    assert client.crm.pipelines.pipelines_api.get_all("deals").results[0].stages[0].id == "appointmentscheduled"


@pytest.mark.parametrize(
    ("email", "more", "status", "says"),
    [
        ("taken@x.co", {}, 409, "Existing ID"),
        ("nobody", {}, 400, "INVALID_EMAIL"),
        ("b@x.co", {"shoe": "44"}, 400, "PROPERTY_DOESNT_EXIST"),
    ],
)
def test_errors_are_the_vendors(served: Served, email: str, more: dict[str, str], status: int, says: str) -> None:
    api = sdk(served).crm.contacts.basic_api
    api.create(new_contact("taken@x.co"))
    with pytest.raises(contacts_api.ApiException) as error:
        api.create(new_contact(email, **more))
    assert error.value.status == status
    assert says in json.loads(error.value.body)["message"]


def test_missing_wrong_token_and_throttled(served: Served) -> None:
    with pytest.raises(contacts_api.exceptions.NotFoundException):
        sdk(served).crm.contacts.basic_api.get_by_id("999")
    with pytest.raises(contacts_api.exceptions.UnauthorizedException):
        sdk(served, "wrong").crm.contacts.basic_api.get_page()
    served.fault(kind="429")
    with pytest.raises(contacts_api.ApiException) as error:
        sdk(served).crm.contacts.basic_api.get_page()
    assert error.value.status == 429


def test_a_cut_after_the_effect_leaves_the_effect(served: Served) -> None:
    import urllib3

    served.fault(kind="cut_after", method="POST")
    with pytest.raises(urllib3.exceptions.HTTPError):
        sdk(served).crm.contacts.basic_api.create(new_contact("a@x.co"))
    assert served.operations == ["create"]


MADE = {
    "contacts": {"email": "a@x.co"},
    "companies": {"name": "Acme", "domain": "acme.co"},
    "deals": {"dealname": "D", "dealstage": "contractsent", "amount": "12.50"},
    "tickets": {"subject": "Broken", "hs_pipeline_stage": "1"},
    "notes": {"hs_timestamp": "2026-01-01T00:00:00Z", "hs_note_body": "called"},
    "tasks": {"hs_timestamp": "1767225600000", "hs_task_subject": "Call back", "hs_task_status": "NOT_STARTED"},
}


def make(client: Any, kind: str, **more: str) -> Any:
    given = objects_api.SimplePublicObjectInputForCreate(properties=MADE[kind] | more, associations=[])
    return client.crm.objects.basic_api.create(kind, given)


@pytest.mark.parametrize("kind", MADE)
def test_every_kind_is_created_read_and_changed(served: Served, kind: str) -> None:
    api = sdk(served).crm.objects.basic_api
    made = make(sdk(served), kind)
    names = list(MADE[kind])
    assert {name: made.properties[name] for name in names} == MADE[kind]
    api.update(kind, made.id, objects_api.SimplePublicObjectInput(properties={"hubspot_owner_id": "2"}))
    again = api.get_by_id(kind, made.id, properties=[*names, "hubspot_owner_id", "hs_object_id"])
    assert again.properties == MADE[kind] | {"hubspot_owner_id": "2", "hs_object_id": made.id}
    api.archive(kind, made.id)
    with pytest.raises(objects_api.exceptions.NotFoundException):
        api.get_by_id(kind, made.id)


@pytest.mark.parametrize(("source", "target", "there", "back"), PAIRS)
def test_all_pairs_are_associated_as_the_sdk_numbers_them(
    served: Served, source: str, target: str, there: int, back: int
) -> None:
    client = sdk(served)
    one, other = make(client, source), make(client, target)
    api = client.crm.associations.v4.basic_api
    api.create_default(source, one.id, target, other.id)
    name = f"{SINGULAR[source]}_TO_{SINGULAR[target]}".upper()
    assert getattr(AssociationType, name) == there
    for here, there_kind, number, id_ in ((source, target, there, other.id), (target, source, back, one.id)):
        [row] = api.get_page(here, one.id if here == source else other.id, there_kind).results
        assert (row.to_object_id, [spec.type_id for spec in row.association_types]) == (id_, [number])
    inline = client.crm.objects.basic_api.get_by_id(source, one.id, associations=[target])
    assert [found.id for found in inline.associations[target].results] == [other.id]
    api.archive(source, one.id, target, other.id)
    assert api.get_page(target, other.id, source).results == []


def test_primary_company_and_labels(served: Served) -> None:
    client = sdk(served)
    contact, company = make(client, "contacts"), make(client, "companies")
    spec = links_api.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)
    made = client.crm.associations.v4.basic_api.create("contacts", contact.id, "companies", company.id, [spec])
    assert (made.labels, made.to_object_id) == (["Primary"], company.id)
    [row] = client.crm.associations.v4.basic_api.get_page("contacts", contact.id, "companies").results
    assert {spec.type_id: spec.label for spec in row.association_types} == {279: None, 1: "Primary"}
    labels = client.crm.associations.v4.schema.definitions_api.get_all("companies", "contacts").results
    assert {label.type_id: label.label for label in labels} == {280: None, 2: "Primary"}
    wrong = links_api.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=3)
    with pytest.raises(links_api.ApiException) as error:
        client.crm.associations.v4.basic_api.create("contacts", contact.id, "companies", company.id, [wrong])
    assert error.value.status == 400


def test_pipelines_owners_and_properties_of_tickets(served: Served) -> None:
    client = sdk(served)
    [pipeline] = client.crm.pipelines.pipelines_api.get_all("tickets").results
    assert (pipeline.id, [stage.id for stage in pipeline.stages]) == ("0", ["1", "2", "3", "4"])
    assert pipeline.stages[3].metadata["isClosed"] == "true"
    assert client.crm.pipelines.pipeline_stages_api.get_all("deals", "default").results[5].id == "closedwon"
    assert [o.id for o in client.crm.owners.owners_api.get_page(email="sales@example.com").results] == ["2"]
    assert client.crm.owners.owners_api.get_by_id(1).email == "owner@example.com"
    known = {p.name: p for p in client.crm.properties.core_api.get_all("tickets").results}
    assert [o.value for o in known["hs_ticket_priority"].options] == ["LOW", "MEDIUM", "HIGH", "URGENT"]


@pytest.mark.parametrize(
    ("kind", "properties", "says"),
    [
        ("tickets", {"subject": "x"}, "REQUIRED_FIELD"),
        ("companies", {"city": "Rome"}, "REQUIRED_FIELD"),
        ("notes", {"hs_note_body": "x"}, "REQUIRED_FIELD"),
        ("tickets", {"subject": "x", "hs_pipeline_stage": "closedwon"}, "INVALID_OPTION"),
        ("deals", {"dealname": "x", "dealstage": "closedwon", "amount": "12,5"}, "INVALID_DOUBLE"),
        ("tasks", {"hs_timestamp": "tomorrow"}, "INVALID_LONG"),
        ("contacts", {"createdate": "2026-01-01"}, "READ_ONLY_VALUE"),
    ],
)
def test_values_hubspot_refuses(served: Served, kind: str, properties: dict[str, str], says: str) -> None:
    given = objects_api.SimplePublicObjectInputForCreate(properties=properties, associations=[])
    with pytest.raises(objects_api.ApiException) as error:
        sdk(served).crm.objects.basic_api.create(kind, given)
    assert error.value.status == 400
    assert says in json.loads(error.value.body)["message"]
    assert served.emulator.effects == []


def test_a_batch_upsert_creates_and_changes(served: Served) -> None:
    client = sdk(served)
    old = client.crm.contacts.basic_api.create(new_contact("a@x.co", firstname="Ana"))
    inputs = [
        contacts_api.SimplePublicObjectBatchInputUpsert(id=email, id_property="email", properties={"lastname": "Z"})
        for email in ("A@x.co", "b@x.co")
    ]
    answer = client.crm.contacts.batch_api.upsert(
        contacts_api.BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs)
    )
    assert [(row.new, row.properties["lastname"]) for row in answer.results] == [(False, "Z"), (True, "Z")]
    assert answer.results[0].id == old.id
    assert client.crm.contacts.basic_api.get_by_id("b@x.co", id_property="email").id == answer.results[1].id
    unfit = companies_api.SimplePublicObjectBatchInputUpsert(
        id="acme.co", id_property="domain", properties={"name": "A"}
    )
    with pytest.raises(companies_api.ApiException) as error:
        client.crm.companies.batch_api.upsert(
            companies_api.BatchInputSimplePublicObjectBatchInputUpsert(inputs=[unfit])
        )
    assert error.value.status == 400


def test_batches_read_create_and_archive(served: Served) -> None:
    client = sdk(served)
    api = client.crm.tickets.batch_api
    inputs = [
        tickets_api.SimplePublicObjectBatchInputForCreate(
            properties={"subject": name, "hs_pipeline_stage": "1"}, associations=[]
        )
        for name in ("one", "two")
    ]
    made = api.create(tickets_api.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs)).results
    ids = [tickets_api.SimplePublicObjectId(id=row.id) for row in made]
    asked = tickets_api.BatchReadInputSimplePublicObjectId(
        inputs=[*ids, tickets_api.SimplePublicObjectId(id="999")], properties=["subject"], properties_with_history=[]
    )
    read = api.read(asked)
    assert [row.properties["subject"] for row in read.results] == ["one", "two"]
    assert (read.num_errors, read.errors[0].context["ids"]) == (1, ["999"])
    api.archive(tickets_api.BatchInputSimplePublicObjectId(inputs=ids))
    assert client.crm.tickets.basic_api.get_page().results == []
    broken = [
        inputs[0],
        tickets_api.SimplePublicObjectBatchInputForCreate(properties={"subject": "x"}, associations=[]),
    ]
    with pytest.raises(tickets_api.ApiException):
        api.create(tickets_api.BatchInputSimplePublicObjectBatchInputForCreate(inputs=broken))
    assert client.crm.tickets.basic_api.get_page().results == []


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ({"property_name": "amount", "operator": "GT", "value": "20"}, ["30", "100"]),
        ({"property_name": "amount", "operator": "LTE", "value": "20"}, ["3", "20"]),
        ({"property_name": "amount", "operator": "BETWEEN", "value": "3", "high_value": "30"}, ["3", "20", "30"]),
        ({"property_name": "amount", "operator": "IN", "values": ["3", "100"]}, ["3", "100"]),
        ({"property_name": "amount", "operator": "NOT_IN", "values": ["3", "100"]}, ["20", "30"]),
        ({"property_name": "amount", "operator": "NEQ", "value": "3"}, ["20", "30", "100"]),
        ({"property_name": "closedate", "operator": "LT", "value": "2026-01-15"}, ["3"]),
        ({"property_name": "closedate", "operator": "NOT_HAS_PROPERTY"}, ["20", "30", "100"]),
        ({"property_name": "closedate", "operator": "HAS_PROPERTY"}, ["3"]),
        ({"property_name": "dealname", "operator": "CONTAINS_TOKEN", "value": "big*"}, ["100"]),
        ({"property_name": "dealname", "operator": "NOT_CONTAINS_TOKEN", "value": "deal"}, ["20", "30"]),
        ({"property_name": "associations.company", "operator": "EQ", "value": "101"}, ["30"]),
    ],
)
def test_search_operators_and_order(served: Served, filter_: dict[str, Any], found: list[str]) -> None:
    client = sdk(served)
    company = make(client, "companies")
    names = {"3": "small deal", "20": "medium", "30": "large", "100": "Biggest deal"}
    ids = {}
    for amount in ("30", "100", "3", "20"):
        more = {"closedate": "2026-01-10T09:00:00Z"} if amount == "3" else {}
        ids[amount] = make(client, "deals", amount=amount, dealname=names[amount], **more).id
    client.crm.associations.v4.basic_api.create_default("companies", company.id, "deals", ids["30"])
    request = deals_api.PublicObjectSearchRequest(
        filter_groups=[deals_api.FilterGroup(filters=[deals_api.Filter(**filter_)])],
        properties=["amount"],
        sorts=[{"propertyName": "amount", "direction": "ASCENDING"}],
        limit=3,
    )
    page = client.crm.deals.search_api.do_search(request)
    assert (page.total, [row.properties["amount"] for row in page.results]) == (len(found), found)


def test_search_by_words_pages_and_refuses_the_unknown(served: Served) -> None:
    client = sdk(served)
    served.emulator.unlimited = True
    for number in range(5):
        make(client, "tickets", subject=f"Printer {number} on fire")
    make(client, "tickets", subject="Door")
    seen: list[str] = []
    after: str | None = "0"
    while after:
        request = tickets_api.PublicObjectSearchRequest(query="fire printer", limit=2, after=after)
        page = client.crm.tickets.search_api.do_search(request)
        seen += [row.id for row in page.results]
        after = page.paging.next.after if page.paging else None
    assert len(seen) == len(set(seen)) == 5
    unknown = tickets_api.Filter(property_name="shoe", operator="EQ", value="44")
    for bad in (
        {"filter_groups": [tickets_api.FilterGroup(filters=[unknown])]},
        {"limit": 201},
        {"limit": 200, "after": "9900"},
    ):
        with pytest.raises(tickets_api.ApiException) as error:
            client.crm.tickets.search_api.do_search(tickets_api.PublicObjectSearchRequest(**bad))
        assert error.value.status == 400


def grant(served: Served, **more: str) -> Any:
    asked = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "refresh_token"} | more
    return sdk(served, "").oauth.tokens_api.create(**asked)


def test_oauth_access_tokens_expire_and_are_refreshed(served: Served) -> None:
    first = grant(served, refresh_token=REFRESH_TOKEN)
    assert (first.expires_in, first.token_type, first.refresh_token) == (1800, "bearer", REFRESH_TOKEN)
    assert make(sdk(served, first.access_token), "contacts").id
    assert sdk(served, "").oauth.access_tokens_api.get(first.access_token).hub_id == PORTAL_ID
    served.control("oauth", expire=True)
    with pytest.raises(contacts_api.exceptions.UnauthorizedException) as expired:
        sdk(served, first.access_token).crm.contacts.basic_api.get_page()
    assert json.loads(expired.value.body)["category"] == "EXPIRED_AUTHENTICATION"
    second = grant(served, refresh_token=REFRESH_TOKEN)
    assert len(sdk(served, second.access_token).crm.contacts.basic_api.get_page().results) == 1
    with pytest.raises(oauth_api.ApiException) as stranger:
        grant(served, refresh_token=REFRESH_TOKEN, client_secret="wrong")
    assert stranger.value.status == 400
    grants = served.emulator.oauth.grants  # type: ignore[attr-defined]
    assert [g["granted"] for g in grants] == [True, True, False]


def test_oauth_codes_rotation_and_forgetting(served: Served) -> None:
    code = served.control("oauth/code", redirect_uri="http://localhost/back")["code"]
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://localhost/back"}
    served.control("oauth", rotates=True)
    first = grant(served, **asked)
    with pytest.raises(oauth_api.ApiException):
        grant(served, **asked)
    second = grant(served, refresh_token=first.refresh_token)
    with pytest.raises(oauth_api.ApiException) as reused:
        grant(served, refresh_token=first.refresh_token)
    assert (reused.value.status, json.loads(reused.value.body)["error"]) == (400, "invalid_grant")
    sdk(served, "").oauth.refresh_tokens_api.archive(second.refresh_token)
    with pytest.raises(oauth_api.ApiException):
        grant(served, refresh_token=second.refresh_token)


def test_webhooks_are_signed_for_the_sdk(served: Served, receiver: Receiver) -> None:
    names = [
        "contact.creation",
        "contact.propertyChange",
        "contact.associationChange",
        "deal.propertyChange",
        "object.creation",
    ]
    served.control("webhooks", url=receiver.url, events=names)
    client = sdk(served)
    contact, deal, note = (make(client, kind) for kind in ("contacts", "deals", "notes"))
    changed = {"dealstage": "closedwon", "amount": "12.50"}
    client.crm.deals.basic_api.update(deal.id, deals_api.SimplePublicObjectInput(properties=changed))
    client.crm.associations.v4.basic_api.create_default("contacts", contact.id, "deals", deal.id)
    hooks = receiver.wait(4)
    for hook in hooks:
        proof = {"client_secret": CLIENT_SECRET, "http_uri": receiver.url, "signature_version": "v3"}
        proof |= {
            "signature": hook.headers["X-HubSpot-Signature-v3"],
            "timestamp": hook.headers["X-HubSpot-Request-Timestamp"],
        }
        assert Signature.is_valid(request_body=hook.body, **proof)
        assert not Signature.is_valid(request_body=hook.body + " ", **proof)
    events = [event for hook in hooks for event in json.loads(hook.body)]
    assert [event["subscriptionType"] for event in events] == [
        "contact.creation",
        "object.creation",
        "deal.propertyChange",
        "contact.associationChange",
    ]
    assert (events[1]["objectTypeId"], events[1]["objectId"]) == ("0-46", int(note.id))
    assert (events[2]["objectId"], events[2]["propertyName"], events[2]["propertyValue"]) == (
        int(deal.id),
        "dealstage",
        "closedwon",
    )
    assert {event["portalId"] for event in events} == {PORTAL_ID}


def test_two_contacts_become_one_that_answers_to_both_and_has_what_belonged_to_either(served: Served) -> None:
    api = sdk(served)
    contacts, companies = api.crm.contacts.basic_api, api.crm.companies.basic_api
    first = contacts.create(new_contact("ana@x.co", firstname="Ana", lifecyclestage="lead"))
    other = contacts.create(
        new_contact("ana+1@x.co", firstname="Anna", phone="+14155550123", lifecyclestage="customer")
    )
    firm = companies.create(
        companies_api.SimplePublicObjectInputForCreate(properties={"name": "Acme"}, associations=[])
    )
    api.crm.associations.v4.basic_api.create_default("contacts", other.id, "companies", firm.id)
    given = contacts_api.PublicMergeInput(primary_object_id=first.id, object_id_to_merge=other.id)
    assert contacts.merge(given).id == first.id
    names = ["firstname", "phone", "lifecyclestage", "email", "hs_additional_emails", "hs_merged_object_ids"]
    for asked, by in ((first.id, None), (other.id, None), ("ana+1@x.co", "email")):
        found = contacts.get_by_id(asked, properties=names, **({"id_property": by} if by else {}))
        assert found.id == first.id
        assert [found.properties[name] for name in names] == [
            "Ana",
            "+14155550123",
            "customer",
            "ana@x.co",
            "ana+1@x.co",
            other.id,
        ]
    links = api.crm.associations.v4.basic_api.get_page("contacts", first.id, "companies").results
    assert [str(one.to_object_id) for one in links] == [firm.id]
    assert len(contacts.get_page().results) == 1
    with pytest.raises(contacts_api.ApiException) as again:
        contacts.merge(given)
    assert again.value.status == 400, "they are one already"
    with pytest.raises(contacts_api.ApiException) as taken:
        contacts.create(new_contact("ana+1@x.co"))
    assert taken.value.status == 409


@pytest.mark.parametrize(("other", "status"), [("999999", 404), (None, 400)])
def test_only_two_contacts_that_are_there_can_be_merged(served: Served, other: str | None, status: int) -> None:
    contacts = sdk(served).crm.contacts.basic_api
    first = contacts.create(new_contact("ana@x.co"))
    given = contacts_api.PublicMergeInput(primary_object_id=first.id, object_id_to_merge=other or first.id)
    with pytest.raises(contacts_api.ApiException) as refused:
        contacts.merge(given)
    assert refused.value.status == status
