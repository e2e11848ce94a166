"""HubSpot's own SDK takes the emulator for the real thing. All requests come from the SDK."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import hubspot.crm.contacts as contacts_api
    import hubspot.crm.deals as deals_api
    import hubspot.crm.objects.notes as notes_api
    from hubspot import HubSpot as Sdk

from sandbox.vendors.hubspot import TOKEN, HubSpot
from tests.contract.emulators import Served

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(HubSpot(index_delay=0))
    yield made
    made.close()


def sdk(served: Served, token: str = TOKEN) -> Any:
    return Sdk(access_token=token, host=served.url, base_url=served.url, retry=False, client_side_validation=True)


def new_contact(email: str, **more: str) -> Any:
    return contacts_api.SimplePublicObjectInputForCreate(properties={"email": email, **more}, associations=[])


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
    assert [e["operation"] for e in served.emulator.effects] == ["create"]
