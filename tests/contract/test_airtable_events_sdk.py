"""Airtable's lists, limits, comments and webhooks. Requests come from pyairtable, which also checks the signatures."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pyairtable import Api
from pyairtable.models.webhook import WebhookNotification

from sandbox.vendors.airtable import TOKEN, WORKSPACE, Airtable
from tests.contract.emulators import Served
from tests.contract.receiver import Receiver

pytestmark = pytest.mark.filterwarnings("ignore")
FIELDS = [
    {"name": "Name", "type": "singleLineText"},
    {"name": "Age", "type": "number", "options": {"precision": 0}},
    {"name": "City", "type": "singleLineText"},
]
DATA = {"options": {"filters": {"dataTypes": ["tableData"]}}}


@pytest.fixture
def emulator() -> Airtable:
    made = Airtable()
    made.unlimited = True
    return made


def people(served: Served) -> Any:
    api = Api(TOKEN, endpoint_url=served.url, retry_strategy=None)
    return api.create_base(WORKSPACE, "CRM", [{"name": "People", "fields": FIELDS}]).table("People")


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(requests.HTTPError) as error:
        call()
    answer: Any = error.value.response
    kind = answer.json()["error"]
    return answer.status_code, kind if isinstance(kind, str) else kind["type"]


def names(records: Any) -> list[str]:
    return [r["fields"]["Name"] for r in records]


def test_lists_filter_sort_page_and_choose_fields(served: Served) -> None:
    table = people(served)
    rows = [("Ana", 9, "B"), ("Bo", 30, "A"), ("Cy", 100, "B"), ("Di", None, "A")]
    table.batch_create([{"Name": n, "City": c} | ({"Age": a} if a else {}) for n, a, c in rows])
    assert names(table.all(sort=["-Age"])) == ["Cy", "Bo", "Ana", "Di"]
    assert names(table.all(sort=["City", "-Name"], page_size=3)) == ["Di", "Bo", "Cy", "Ana"]
    assert [len(p) for p in table.iterate(page_size=3)] == [3, 1]
    assert names(table.all(formula="AND({City}='B', {Age}>10)")) == ["Cy"]
    assert names(
        table.all(formula="OR(" + ",".join(f"{{Name}}='{n}{'x' * 900}'" for n in range(20)) + ",{Age}=9)")
    ) == ["Ana"]
    assert table.all(fields=["City"], max_records=1)[0]["fields"] == {"City": "B"}
    age = table.schema().field("Age").id
    assert table.first(formula="{Name}='Bo'", use_field_ids=True)["fields"][age] == 30
    assert refusal(lambda: table.all(sort=["Shoe"])) == (422, "UNKNOWN_FIELD_NAME")
    assert refusal(lambda: table.all(formula="{Age")) == (422, "INVALID_FILTER_BY_FORMULA")
    assert refusal(lambda: table.all(page_size=101)) == (422, "INVALID_REQUEST_UNKNOWN")


def test_batches_are_all_or_nothing_and_at_most_ten(served: Served) -> None:
    table = people(served)
    one = table.create({"Name": "Ana"})
    before = len(served.emulator.effects)
    gone = {"id": "rec" + "0" * 14, "fields": {"Name": "x"}}
    assert refusal(lambda: table.batch_update([{"id": one["id"], "fields": {"Name": "y"}}, gone])) == (404, "NOT_FOUND")
    assert refusal(lambda: table.batch_create([{"Name": "ok"}, {"Shoe": 1}])) == (422, "UNKNOWN_FIELD_NAME")
    assert refusal(lambda: table.batch_delete([one["id"], gone["id"]])) == (404, "NOT_FOUND")
    eleven = {"records": [{"fields": {"Name": str(n)}} for n in range(11)]}
    assert refusal(lambda: table.api.post(table.urls.records, json=eleven)) == (422, "INVALID_REQUEST_UNKNOWN")
    assert len(served.emulator.effects) == before


def test_upserts_merge_on_one_to_three_fields(served: Served) -> None:
    table = people(served)
    first = table.batch_upsert([{"fields": {"Name": "Ana", "City": "A"}}], key_fields=["Name", "City"])
    done = table.batch_upsert(
        [{"fields": {"Name": "Ana", "City": "A", "Age": 5}}, {"fields": {"Name": "Ana", "City": "B"}}],
        key_fields=["Name", "City"],
    )
    assert done["updatedRecords"] == first["createdRecords"]
    assert len(done["createdRecords"]) == 1
    twice = table.batch_upsert([{"fields": {"Name": "Zoe"}}, {"fields": {"Name": "Zoe"}}], key_fields=["Name"])
    assert (twice["createdRecords"], twice["updatedRecords"]) == ([twice["records"][0]["id"]],) * 2
    both = [{"fields": {"Name": "Ana"}}]
    assert refusal(lambda: table.batch_upsert(both, key_fields=["Name"])) == (422, "INVALID_VALUE_FOR_COLUMN")
    four = {"records": both, "performUpsert": {"fieldsToMergeOn": ["Name", "Age", "City", "Name"]}}
    assert refusal(lambda: table.api.patch(table.urls.records, json=four)) == (422, "INVALID_REQUEST_UNKNOWN")


def test_comments(served: Served) -> None:
    table = people(served)
    record = table.create({"Name": "Ana"})["id"]
    table.add_comment(record, "first")
    second = table.add_comment(record, "second")
    second.text = "changed"
    second.save()
    assert [c.text for c in table.comments(record)] == ["changed", "first"]
    second.delete()
    assert [c.text for c in table.comments(record)] == ["first"]
    assert refusal(lambda: table.comments("rec" + "0" * 14)) == (404, "NOT_FOUND")


def test_a_webhook_pings_and_its_payloads_say_what_changed(served: Served, receiver: Receiver) -> None:
    table = people(served)
    made = table.base.add_webhook(f"{receiver.url}/hook", DATA)
    one, two = table.batch_create([{"Name": "Ana", "Age": 1}, {"Name": "Bo"}])
    table.update(one["id"], {"Age": 2})
    table.delete(two["id"])
    table.update(one["id"], {"Age": 2})
    table.create_field("Mail", "email")
    for ping in receiver.wait(3):
        mac = ping.headers["X-Airtable-Content-MAC"]
        told = WebhookNotification.from_request(ping.body, mac, made.mac_secret_base64)
        assert (told.webhook.id, told.base.id) == (made.id, table.base.id)
        with pytest.raises(ValueError, match="failed validation"):
            WebhookNotification.from_request(ping.body, mac, b"another secret")
    hook = table.base.webhook(made.id)
    assert hook.cursor_for_next_payload == 4
    added, updated, removed = hook.payloads()
    table_id, age = table.schema().id, table.schema().field("Age").id
    assert set(added.changed_tables_by_id[table_id].created_records_by_id) == {one["id"], two["id"]}
    current = updated.changed_tables_by_id[table_id].changed_records_by_id[one["id"]].current
    assert current.cell_values_by_field_id == {age: 2}
    assert removed.changed_tables_by_id[table_id].destroyed_record_ids == [two["id"]]
    numbers = [p.base_transaction_number for p in (added, updated, removed)]
    assert numbers == sorted(set(numbers))
    assert [p.cursor for p in hook.payloads(cursor=3)] == [3]
    assert list(hook.payloads(cursor=4)) == []


def test_payloads_come_in_pages(served: Served) -> None:
    table = people(served)
    made = table.base.add_webhook("http://127.0.0.1:9/nobody", DATA)
    record = table.create({"Name": "Ana", "Age": 0})["id"]
    for age in range(1, 55):
        table.update(record, {"Age": age})
    hook = table.base.webhook(made.id)
    assert [p.cursor for p in hook.payloads()] == list(range(1, 56))
    assert len(list(hook.payloads(limit=7))) == 7


def test_webhooks_filter_refresh_stop_and_go(served: Served, receiver: Receiver) -> None:
    table = people(served)
    filters = {
        "dataTypes": ["tableData", "tableFields"],
        "changeTypes": ["update"],
        "watchDataInFieldIds": [table.schema().field("City").id],
    }
    spec = {"options": {"filters": filters, "includes": {"includePreviousCellValues": True}}}
    table.base.add_webhook(receiver.url, spec)
    record = table.create({"Name": "Ana", "City": "A"})["id"]
    table.update(record, {"Name": "Eve"})
    table.update(record, {"City": "B"})
    (hook,) = table.base.webhooks()
    (payload,) = hook.payloads()
    change = payload.changed_tables_by_id[table.schema().id].changed_records_by_id[record]
    assert list(change.previous.cell_values_by_field_id.values()) == ["A"]
    hook.disable_notifications()
    table.update(record, {"City": "C"})
    hook.enable_notifications()
    table.update(record, {"City": "D"})
    assert len(receiver.wait(2)) == 2
    assert len(list(hook.payloads())) == 3
    before = hook.expiration_time
    hook.extend_expiration()
    assert hook.expiration_time != before
    hook.delete()
    assert table.base.webhooks() == []
    assert refusal(lambda: list(hook.payloads())) == (404, "NOT_FOUND")


def test_a_base_has_at_most_ten_webhooks(served: Served) -> None:
    base = people(served).base
    for _ in range(10):
        base.add_webhook("http://127.0.0.1:9/nobody", DATA)
    assert refusal(lambda: base.add_webhook("http://127.0.0.1:9/nobody", DATA))[0] == 422
    wrong = {"options": {"filters": {"dataTypes": ["weather"]}}}
    assert refusal(lambda: base.add_webhook("http://127.0.0.1:9/nobody", wrong)) == (422, "INVALID_REQUEST_BODY")
