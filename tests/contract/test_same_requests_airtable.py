"""Airtable: our requests equal pyairtable's.

pyairtable always writes `typecast` and `returnFieldsByFieldId` into bodies, both false unless asked for; ours says them
when the model does, so the tests say them. What is accepted is not compared: pyairtable accepts anything, ours JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pyairtable import Api

from sandbox.vendors.airtable import TOKEN, WORKSPACE, Airtable
from tests.contract.side_by_side import TOOLS, Seen, SideBySide

pytestmark = pytest.mark.filterwarnings("ignore")
LINE = {"name": "Name", "type": "singleLineText"}
PLAIN = {"typecast": False, "returnFieldsByFieldId": False}
FORMULA = "OR({Name}='Ana & Bo', {Age}>=30)"


@dataclass
class World:
    """A base with a table of two people, one of them with a comment, and both ways to it."""

    both: SideBySide
    api: Any
    table: Any
    ids: dict[str, str]
    record: str
    other: str

    def ours(self, tool: str, **arguments: Any) -> Seen:
        return self.both.ours(tool, **arguments)


@pytest.fixture
def world() -> Iterator[World]:
    settings = {"AIRTABLE_API_KEY": TOKEN, "AIRTABLE_BASE_URL": "{url}"}
    both = SideBySide(Airtable(), settings, headers=("authorization", "content-type"))
    both.emulator.unlimited = True
    api = Api(TOKEN, endpoint_url=both.url, retry_strategy=None)
    base = api.create_base(WORKSPACE, "CRM", [{"name": "People", "fields": [LINE]}])
    table = base.table(base.schema().tables[0].id)
    table.create_field("Age", "number", options={"precision": 0})
    made = [table.create({"Name": name, "Age": age})["id"] for name, age in (("Ana & Bo", 30), ("Cy", 20))]
    table.add_comment(made[0], "First")
    yield World(both, api, table, {"baseId": base.id, "tableId": table.id}, *made)
    both.close()


def whoami(w: World) -> Seen:
    ours = w.ours("airtable_whoami")
    w.api.whoami()
    return ours


def list_bases(w: World) -> Seen:
    ours = w.ours("airtable_list_bases")
    w.api.bases(force=True)
    return ours


def create_base(w: World) -> Seen:
    tables = [{"name": "Jobs", "description": "d", "fields": [LINE]}]
    ours = w.ours("airtable_create_base", name="Ops", workspaceId=WORKSPACE, tables=tables)
    w.api.create_base(WORKSPACE, "Ops", tables)
    w.both.seen.pop()  # it lists bases afterwards
    return ours


def get_base_schema(w: World) -> Seen:
    ours = w.ours("airtable_get_base_schema", baseId=w.ids["baseId"], include=["visibleFieldIds"])
    w.table.base.schema(force=True)
    return ours


def create_table(w: World) -> Seen:
    made = w.ours("airtable_create_table", baseId=w.ids["baseId"], name="A", fields=[LINE], description="d")
    with pytest.raises(Exception, match="DUPLICATE_TABLE_NAME"):  # names are unique: the same request again is refused
        w.table.base.create_table("A", [LINE], description="d")
    return made


def create_field(w: World) -> Seen:
    about = {"description": "how sure", "options": {"precision": 1}}
    ours = w.ours("airtable_create_field", **w.ids, name="Sure", type="percent", **about)
    with pytest.raises(Exception, match="DUPLICATE_OR_EMPTY_FIELD_NAME"):
        w.table.create_field("Sure", "percent", **about)
    return ours


def list_records(w: World) -> Seen:
    sort = [{"field": "Age", "direction": "desc"}, {"field": "Name", "direction": "asc"}]
    ours = w.ours(
        "airtable_list_records",
        **w.ids,
        filterByFormula=FORMULA,
        sort=sort,
        fields=["Name", "Age"],
        view="Grid view",
        maxRecords=5,
        pageSize=2,
        returnFieldsByFieldId=1,
    )
    rows = w.table.all(
        formula=FORMULA,
        sort=["-Age", "Name"],
        fields=["Name", "Age"],
        view="Grid view",
        max_records=5,
        page_size=2,
        use_field_ids=True,
    )
    assert len(rows) == 1
    return ours


def get_record(w: World) -> Seen:
    ours = w.ours("airtable_get_record", **w.ids, recordId=w.record, returnFieldsByFieldId=1)
    w.table.get(w.record, use_field_ids=True)
    return ours


def create_records(w: World) -> Seen:
    fields = [{"Name": "Dé"}, {"Name": "Ed", "Age": 5}]
    ours = w.ours("airtable_create_records", **w.ids, records=[{"fields": f} for f in fields], **PLAIN)
    w.table.batch_create(fields)
    return ours


def upsert_records(w: World) -> Seen:
    records = [{"fields": {"Name": "Cy", "Age": 21}}, {"fields": {"Name": "Flo"}}]
    ours = w.ours(
        "airtable_upsert_records", **w.ids, performUpsert={"fieldsToMergeOn": ["Name"]}, records=records, **PLAIN
    )
    w.table.batch_upsert(records, key_fields=["Name"])
    return ours


def replace_records(w: World) -> Seen:
    records = [{"id": w.record, "fields": {"Name": "Ana"}}, {"id": w.other, "fields": {"Age": 9}}]
    ours = w.ours("airtable_replace_records", **w.ids, records=records, **PLAIN)
    w.table.batch_update(records, replace=True)
    return ours


def update_record(w: World) -> Seen:
    typed = {"typecast": True, "returnFieldsByFieldId": True}
    ours = w.ours("airtable_update_record", **w.ids, recordId=w.record, fields={"Age": 31}, **typed)
    w.table.update(w.record, {"Age": 31}, typecast=True, use_field_ids=True)
    return ours


def delete_record(w: World) -> Seen:
    ours = w.ours("airtable_delete_record", **w.ids, recordId=w.record)
    with pytest.raises(Exception, match="404"):
        w.table.delete(w.record)
    return ours


def list_comments(w: World) -> Seen:
    ours = w.ours("airtable_list_comments", **w.ids, recordId=w.record)
    (comment,) = w.table.comments(w.record)
    assert comment.text == "First"
    return ours


def create_comment(w: World) -> Seen:
    parent = w.table.comments(w.record)[0].id
    ours = w.ours("airtable_create_comment", **w.ids, recordId=w.record, text="Second & “é”", parentCommentId=parent)
    w.table.add_comment(w.record, "Second & “é”", parent_comment_id=parent)
    return ours


def hook(w: World) -> Any:
    return w.api.base(w.ids["baseId"]).webhook(
        w.api.base(w.ids["baseId"])
        .add_webhook(
            "https://hooks.example.com/webhooks/airtable", {"options": {"filters": {"dataTypes": ["tableData"]}}}
        )
        .id
    )


def list_webhooks(w: World) -> Seen:
    made = hook(w)
    w.both.seen.clear()
    ours = w.ours("airtable_list_webhooks", baseId=w.ids["baseId"])
    assert [one.id for one in w.api.base(w.ids["baseId"]).webhooks()] == [made.id]
    return ours


def list_webhook_payloads(w: World) -> Seen:
    made = hook(w)
    w.table.create({"Name": "New"})
    w.both.seen.clear()
    ours = w.ours("airtable_list_webhook_payloads", baseId=w.ids["baseId"], webhookId=made.id, cursor=1)
    assert [payload.base_transaction_number > 0 for payload in made.payloads(1)] == [True]
    return ours


def refresh_webhook(w: World) -> Seen:
    made = hook(w)
    w.both.seen.clear()
    ours = w.ours("airtable_refresh_webhook", baseId=w.ids["baseId"], webhookId=made.id)
    made.extend_expiration()
    return ours


OPERATIONS: dict[str, Callable[[World], Seen]] = {
    f"airtable_{f.__name__}": f
    for f in (
        whoami,
        list_bases,
        create_base,
        get_base_schema,
        create_table,
        create_field,
        list_records,
        get_record,
        create_records,
        upsert_records,
        replace_records,
        update_record,
        delete_record,
        list_comments,
        create_comment,
        list_webhooks,
        list_webhook_payloads,
        refresh_webhook,
    )
}


def test_every_tool_is_compared() -> None:
    assert {name for name, tool in TOOLS.items() if tool.vendor == "airtable"} == OPERATIONS.keys()


@pytest.mark.parametrize("tool", OPERATIONS)
def test_ours_equals_theirs(world: World, tool: str) -> None:
    world.both.seen.clear()
    ours = OPERATIONS[tool](world)
    assert sum(seen == ours for seen in world.both.seen) == 2, "both asked, and for the same"
    assert ours == world.both.theirs()


def test_pages_follow_each_other(world: World) -> None:
    world.both.seen.clear()
    world.table.all(page_size=1)
    first, second = world.both.seen
    meaning = world.both.call("airtable_list_records", **world.ids, pageSize=1)
    assert world.both.theirs() == first
    world.ours("airtable_list_records", **world.ids, pageSize=1, offset=meaning.result["offset"])
    assert world.both.theirs() == second


def test_what_is_gone_is_null(world: World) -> None:
    world.table.delete(world.record)
    for tool in ("airtable_get_record", "airtable_delete_record"):
        meaning = world.both.call(tool, **world.ids, recordId=world.record)
        assert (meaning.state, meaning.result) == ("succeeded", None)
