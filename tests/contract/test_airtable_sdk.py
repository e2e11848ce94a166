"""pyairtable takes the emulator for the real Airtable. All requests come from it."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pyairtable import Api
from pyairtable.formulas import match

from sandbox.vendors.airtable import TOKEN, WORKSPACE, Airtable
from tests.contract.emulators import Served

pytestmark = pytest.mark.filterwarnings("ignore")
LINE = {"name": "Name", "type": "singleLineText"}


@pytest.fixture
def emulator() -> Airtable:
    made = Airtable()
    made.unlimited = True
    return made


def sdk(served: Served, token: str = TOKEN) -> Any:
    return Api(token, endpoint_url=served.url, retry_strategy=None)


def answer_to(error: Any) -> Any:
    return error.value.response


def people(served: Served) -> Any:
    base = sdk(served).create_base(WORKSPACE, "CRM", [{"name": "People", "fields": [LINE]}])
    table = base.table("People")
    table.create_field("Email", "email")
    table.create_field("Age", "number", options={"precision": 0})
    return table


def test_base_tables_fields_and_links(served: Served) -> None:
    base = sdk(served).create_base(WORKSPACE, "CRM", [{"name": "People", "fields": [LINE]}])
    deals = base.create_table("Deals", [LINE], description="d")
    made = {
        "stage": ("singleSelect", {"choices": [{"name": "New"}]}),
        "when": ("date", {"dateFormat": {"name": "iso"}}),
        "worth": ("currency", {"precision": 2, "symbol": "$"}),
        "person": ("multipleRecordLinks", {"linkedTableId": base.schema(force=True).table("People").id}),
    }
    kinds = [type(deals.create_field(name, kind, options=options)).__name__ for name, (kind, options) in made.items()]
    assert kinds == [
        "SingleSelectFieldSchema",
        "DateFieldSchema",
        "CurrencyFieldSchema",
        "MultipleRecordLinksFieldSchema",
    ]
    mirrored = base.schema(force=True).table("People").field("Deals")
    assert mirrored.options.linked_table_id == deals.id
    assert sdk(served).whoami()["id"].startswith("usr")


def test_records_create_read_update_upsert_delete(served: Served) -> None:
    table = people(served)
    one = table.create({"Name": "Ana", "Age": 30})
    table.batch_create([{"Name": f"P{n}"} for n in range(12)])
    assert len(table.all(page_size=5)) == 13
    assert table.first(formula=match({"Name": "Ana"}))["id"] == one["id"]
    assert table.update(one["id"], {"Age": 31})["fields"]["Age"] == 31
    done = table.batch_upsert(
        [{"fields": {"Name": "Ana", "Age": 32}}, {"fields": {"Name": "New"}}], key_fields=["Name"]
    )
    assert (len(done["createdRecords"]), done["updatedRecords"]) == (1, [one["id"]])
    again = table.batch_upsert([{"fields": {"Name": "Ana", "Age": 32}}], key_fields=["Name"])
    assert again["createdRecords"] == []
    assert table.delete(one["id"])["deleted"]
    assert sorted(r["fields"]["Name"] for r in table.all(formula="OR({Name}='New', FIND('P1', {Name}))"))[0] == "New"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Shoe": 1}, "UNKNOWN_FIELD_NAME"),
        ({"Age": "old"}, "INVALID_VALUE_FOR_COLUMN"),
        ({"Name": 5}, "INVALID_VALUE_FOR_COLUMN"),
    ],
)
def test_errors_are_the_vendors(served: Served, fields: dict[str, Any], kind: str) -> None:
    with pytest.raises(requests.HTTPError) as error:
        people(served).create(fields)
    assert answer_to(error).status_code == 422
    assert answer_to(error).json()["error"]["type"] == kind


def test_missing_wrong_token_and_throttled(served: Served) -> None:
    table = people(served)
    for wrong, status in (("wrong", 401), (TOKEN, 404)):
        with pytest.raises(requests.HTTPError) as error:
            sdk(served, wrong).table(table.base.id, table.name).get("rec" + "0" * 14)
        assert answer_to(error).status_code == status
    with pytest.raises(requests.HTTPError) as unknown:
        sdk(served).table(table.base.id, "Nothing").all()
    assert answer_to(unknown).status_code == 403
    served.emulator.unlimited = False
    with served.stopped():
        for _ in range(5):
            table.all()
        with pytest.raises(requests.HTTPError) as throttled:
            table.all()
    assert answer_to(throttled).status_code == 429
