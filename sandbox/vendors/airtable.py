"""Airtable: bases, tables, fields with their options, links mirrored on both sides, records, upserts.

Lists with formulas, sorting and paging are in `airtable_query`, webhooks and comments in `airtable_events`.
"""

from __future__ import annotations

import random
import string
from typing import Any

from aiohttp import web

from sandbox.vendors.airtable_events import Comments, Hooks
from sandbox.vendors.airtable_query import Refused, asked, at_most_ten, now, page, shown
from sandbox.vendors.common import Emulator, Window

TOKEN = "patSandbox0000000.sandbox"
WORKSPACE = "wspSandbox0000001"
SCOPES = [
    "data.records:read",
    "data.records:write",
    "data.recordComments:read",
    "data.recordComments:write",
    "schema.bases:read",
    "schema.bases:write",
    "webhook:manage",
]
PLAIN = {"singleLineText", "multilineText", "richText", "email", "phoneNumber", "url"}
NUMBERS = {"number", "currency", "percent", "rating", "duration"}
NEEDED = {
    "number": {"precision"},
    "percent": {"precision"},
    "currency": {"precision", "symbol"},
    "singleSelect": {"choices"},
    "multipleSelects": {"choices"},
    "date": {"dateFormat"},
    "dateTime": {"dateFormat", "timeFormat", "timeZone"},
    "checkbox": {"icon", "color"},
    "multipleRecordLinks": {"linkedTableId"},
}
FORMATS = {
    "iso": "YYYY-MM-DD",
    "us": "M/D/YYYY",
    "european": "D/M/YYYY",
    "local": "l",
    "friendly": "LL",
    "24hour": "HH:mm",
    "12hour": "h:mma",
}


class Airtable(Emulator):
    """One workspace."""

    vendor = "airtable"
    lasting = ("effects", "bases", "hooks._hooks", "hooks._changes", "hooks._transactions", "comments.rows", "_random")

    def __init__(self) -> None:
        super().__init__()
        self.hooks, self.comments = Hooks(self), Comments(self)
        self.reset()
        meta = "/v0/meta/bases"
        routes = [
            ("GET", "/v0/meta/whoami", self.whoami),
            ("GET", meta, self.list_bases),
            ("POST", meta, self.create_base),
            ("GET", meta + "/{base}/tables", self.schema),
            ("POST", meta + "/{base}/tables", self.create_table),
            ("POST", meta + "/{base}/tables/{table}/fields", self.create_field),
            ("GET", "/v0/{base}/{table}", self.list_records),
            ("POST", "/v0/{base}/{table}", self.create_records),
            ("POST", "/v0/{base}/{table}/listRecords", self.list_records_by_post),
            ("PATCH", "/v0/{base}/{table}", self.update_records),
            ("PUT", "/v0/{base}/{table}", self.update_records),
            ("DELETE", "/v0/{base}/{table}", self.delete_records),
            ("GET", "/v0/{base}/{table}/{record}", self.read),
            ("PATCH", "/v0/{base}/{table}/{record}", self.update_one),
            ("PUT", "/v0/{base}/{table}/{record}", self.update_one),
            ("DELETE", "/v0/{base}/{table}/{record}", self.delete_one),
        ]
        for method, path, handler in routes + self.hooks.routes() + self.comments.routes():
            self.app.router.add_route(method, path, self._guarded(handler))

    def reset(self) -> None:
        self.bases: dict[str, dict[str, Any]] = {}
        self._windows: dict[str, Window] = {}
        self._random = random.Random(7)
        self.hooks.reset()
        self.comments.reset()

    def state(self) -> Any:
        return {"bases": list(self.bases.values()), "webhooks": self.hooks.state(), "comments": self.comments.rows}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return self.error(401, "Authentication required", "AUTHENTICATION_REQUIRED")

    def limited(self, request: web.Request) -> web.Response | None:
        parts = request.path.split("/")
        key = next((part for part in parts if part.startswith("app")), "meta")
        window = self._windows.setdefault(key, Window(limit=5, seconds=1, lock_out=30, now=self.clock.now))
        if window.allows():
            return None
        error = {"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}
        return web.json_response({"errors": [error]}, status=429)

    def error(self, status: int, message: str, kind: str | None = None) -> web.Response:
        if status == 404:
            return web.json_response({"error": "NOT_FOUND"}, status=404)
        return web.json_response({"error": {"type": kind or "SERVER_ERROR", "message": message}}, status=status)

    def _guarded(self, handler: Any) -> Any:
        async def run(request: web.Request) -> web.StreamResponse:
            try:
                answer: web.StreamResponse = await handler(request)
            except Refused as refusal:
                return self.error(refusal.status, refusal.message, refusal.kind)
            finally:
                self.hooks.flush(request.match_info.get("base", ""))
            return answer

        return run

    # -- schema ------------------------------------------------------------------------------------------------------

    async def whoami(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "usrSandbox0000001", "scopes": SCOPES})

    async def list_bases(self, request: web.Request) -> web.Response:
        rows = [{"id": b["id"], "name": b["name"], "permissionLevel": "create"} for b in self.bases.values()]
        start = int(request.query.get("offset", "itr0")[3:])
        page = {"bases": rows[start : start + 1000]}
        return web.json_response(page | ({"offset": f"itr{start + 1000}"} if len(rows) > start + 1000 else {}))

    async def create_base(self, request: web.Request) -> web.Response:
        given = await request.json()
        if given.get("workspaceId") != WORKSPACE:
            raise Refused(
                "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the model was not found.", 403
            )
        if not given.get("name") or not given.get("tables"):
            raise Refused("INVALID_REQUEST_BODY", "name and tables are required")
        base: dict[str, Any] = {"id": self.new_id("app"), "name": given["name"], "tables": []}
        for table in given["tables"]:
            self._add_table(base, table)
        self.bases[base["id"]] = base
        self.effect("create_base", id=base["id"], name=base["name"])
        return web.json_response({"id": base["id"], "tables": [_table(t) for t in base["tables"]]})

    async def schema(self, request: web.Request) -> web.Response:
        return web.json_response({"tables": [_table(t) for t in self.base_of(request)["tables"]]})

    async def create_table(self, request: web.Request) -> web.Response:
        base, given = self.base_of(request), await request.json()
        table = self._add_table(base, given)
        self.effect("create_table", base=base["id"], id=table["id"], name=table["name"])
        self.hooks.created_table(table)
        return web.json_response(_table(table))

    async def create_field(self, request: web.Request) -> web.Response:
        base, table = self.base_of(request), self.table_of(request)
        field = self._add_field(base, table, await request.json())
        self.effect("create_field", base=base["id"], table=table["id"], id=field["id"], name=field["name"])
        self.hooks.created_field(table, field)
        return web.json_response(field)

    def _add_table(self, base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        if any(t["name"] == given.get("name") for t in base["tables"]):
            raise Refused("DUPLICATE_TABLE_NAME", f"Table name {given['name']!r} exists already")
        if not given.get("name") or not given.get("fields"):
            raise Refused("INVALID_REQUEST_BODY", "a table needs a name and fields")
        table: dict[str, Any] = {"id": self.new_id("tbl"), "name": given["name"], "fields": [], "records": {}}
        if given.get("description"):
            table["description"] = given["description"]
        base["tables"].append(table)
        for field in given["fields"]:
            self._add_field(base, table, field)
        table["primaryFieldId"] = table["fields"][0]["id"]
        table["views"] = [{"id": self.new_id("viw"), "name": "Grid view", "type": "grid"}]
        return table

    def _add_field(self, base: dict[str, Any], table: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        name, kind, options = given.get("name"), given.get("type"), given.get("options") or {}
        if not name or any(f["name"] == name for f in table["fields"]):
            raise Refused("DUPLICATE_OR_EMPTY_FIELD_NAME", f"Field name {name!r} is empty or exists already")
        if kind not in PLAIN | NUMBERS | set(NEEDED) | {"multipleAttachments", "singleCollaborator", "autoNumber"}:
            raise Refused("INVALID_FIELD_TYPE", f"Invalid field type {kind!r}")
        if missing := NEEDED.get(kind, set()) - options.keys():
            raise Refused(
                "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
                f"Invalid options for {table['name']}.{name}: Failed schema validation: missing {sorted(missing)}",
            )
        field: dict[str, Any] = {"id": self.new_id("fld"), "name": name, "type": kind}
        if given.get("description"):
            field["description"] = given["description"]
        table["fields"].append(field)
        if options := self._options(base, table, field, kind, options):
            field["options"] = options
        return field

    def _options(
        self, base: dict[str, Any], table: dict[str, Any], field: dict[str, Any], kind: str, given: dict[str, Any]
    ) -> dict[str, Any]:
        if kind in ("singleSelect", "multipleSelects"):
            return {"choices": [{"id": self.new_id("sel"), **choice} for choice in given["choices"]]}
        if kind in ("date", "dateTime"):
            made = dict(given)
            for part in ("dateFormat", "timeFormat"):
                if part in made:
                    made[part] = {"name": made[part]["name"], "format": FORMATS[made[part]["name"]]}
            return made
        if kind == "multipleRecordLinks":
            return self._link_options(base, table, field, given)
        return dict(given)

    def _link_options(
        self, base: dict[str, Any], table: dict[str, Any], field: dict[str, Any], given: dict[str, Any]
    ) -> dict[str, Any]:
        if extra := given.keys() - {"linkedTableId", "viewIdForRecordSelection"}:
            raise Refused("INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", f"Failed schema validation: {sorted(extra)}")
        linked = next((t for t in base["tables"] if t["id"] == given["linkedTableId"]), None)
        if linked is None:
            table["fields"].remove(field)
            raise Refused("INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", "linkedTableId is not a table of this base")
        name = table["name"]
        while any(f["name"] == name for f in linked["fields"]):
            name += " copy"
        common = {"isReversed": False, "prefersSingleRecordLink": False}
        inverse = {
            "id": self.new_id("fld"),
            "name": name,
            "type": "multipleRecordLinks",
            "options": {"linkedTableId": table["id"], "inverseLinkFieldId": field["id"], **common},
        }
        linked["fields"].append(inverse)
        return {"linkedTableId": linked["id"], "inverseLinkFieldId": inverse["id"], **common}

    # -- records -----------------------------------------------------------------------------------------------------

    async def list_records(self, request: web.Request) -> web.Response:
        return web.json_response(page(self.table_of(request), asked(request.query)))

    async def list_records_by_post(self, request: web.Request) -> web.Response:
        return web.json_response(page(self.table_of(request), await request.json()))

    async def create_records(self, request: web.Request) -> web.Response:
        table, given = self.table_of(request), await request.json()
        typecast, by_id = bool(given.get("typecast")), bool(given.get("returnFieldsByFieldId"))
        if "records" not in given:
            return web.json_response(shown(table, self._insert(table, given.get("fields") or {}, typecast), by_id))
        at_most_ten(given["records"])
        for item in given["records"]:
            self._checked(table, item["fields"], typecast)
        made = [self._insert(table, item["fields"], typecast) for item in given["records"]]
        return web.json_response({"records": [shown(table, record, by_id) for record in made]})

    async def update_records(self, request: web.Request) -> web.Response:
        """Change up to ten records, all or none."""
        table, given = self.table_of(request), await request.json()
        at_most_ten(given["records"])
        typecast, replace = bool(given.get("typecast")), request.method == "PUT"
        for item in given["records"]:
            self._checked(table, item["fields"], typecast)
        upsert = given.get("performUpsert")
        for item in given["records"]:
            self._same(table, item, upsert)
        done, created, updated = [], [], []
        for item in given["records"]:
            # looked up again: an item may mean the record that one before it has just created
            known = self._same(table, item, upsert)
            if known:
                done.append(self._change(table, known, item["fields"], typecast, replace))
                updated.append(known)
            else:
                done.append(self._insert(table, item["fields"], typecast))
                created.append(done[-1]["id"])
        records = [shown(table, record, bool(given.get("returnFieldsByFieldId"))) for record in done]
        if upsert is None:
            return web.json_response({"records": records})
        return web.json_response({"records": records, "createdRecords": created, "updatedRecords": updated})

    def _same(self, table: dict[str, Any], item: dict[str, Any], upsert: dict[str, Any] | None) -> str | None:
        """The record an item of an update means; None when an upsert has to create it."""
        if "id" in item:
            return str(self.record_of(table, item["id"])["id"])
        if upsert is None:
            raise Refused("INVALID_REQUEST_UNKNOWN", "every record needs an id")
        names = {f["name"]: f["name"] for f in table["fields"]} | {f["id"]: f["name"] for f in table["fields"]}
        keys = upsert.get("fieldsToMergeOn") or []
        if not 1 <= len(keys) <= 3 or set(keys) - names.keys():
            raise Refused("INVALID_REQUEST_UNKNOWN", "fieldsToMergeOn names one to three fields of the table")
        fields = {names[name]: value for name, value in item["fields"].items()}
        if missing := [key for key in keys if names[key] not in fields]:
            raise Refused("INVALID_REQUEST_UNKNOWN", f"a record lacks {missing}, on which it should be merged")
        wanted = {names[key]: fields[names[key]] for key in keys}
        same = [r for r in table["records"].values() if all(r["fields"].get(k) == v for k, v in wanted.items())]
        if len(same) > 1:
            raise Refused("INVALID_VALUE_FOR_COLUMN", "more than one record matches fieldsToMergeOn")
        return same[0]["id"] if same else None

    async def read(self, request: web.Request) -> web.Response:
        table = self.table_of(request)
        by_id = request.query.get("returnFieldsByFieldId") in ("1", "true")
        return web.json_response(shown(table, self.record_of(table, request.match_info["record"]), by_id))

    async def update_one(self, request: web.Request) -> web.Response:
        table, given = self.table_of(request), await request.json()
        typecast, replace = bool(given.get("typecast")), request.method == "PUT"
        self._checked(table, given["fields"], typecast)
        record = self._change(table, request.match_info["record"], given["fields"], typecast, replace)
        return web.json_response(shown(table, record, bool(given.get("returnFieldsByFieldId"))))

    async def delete_one(self, request: web.Request) -> web.Response:
        return web.json_response(self._remove(self.table_of(request), request.match_info["record"]))

    async def delete_records(self, request: web.Request) -> web.Response:
        table = self.table_of(request)
        ids: list[str] = request.query.getall("records[]", [])
        at_most_ten(ids)
        for record in ids:
            self.record_of(table, record)
        return web.json_response({"records": [self._remove(table, record) for record in ids]})

    def _insert(self, table: dict[str, Any], fields: dict[str, Any], typecast: bool) -> dict[str, Any]:
        values = self._checked(table, fields, typecast)
        record = {"id": self.new_id("rec"), "createdTime": now(), "fields": values}
        table["records"][record["id"]] = record
        self.effect("create_record", table=table["id"], id=record["id"], fields=values)
        self.hooks.created(table, record)
        return record

    def _change(
        self, table: dict[str, Any], record_id: str, fields: dict[str, Any], typecast: bool, replace: bool
    ) -> dict[str, Any]:
        record = self.record_of(table, record_id)
        values = self._checked(table, fields, typecast)
        merged = values if replace else record["fields"] | values
        merged = {key: value for key, value in merged.items() if value is not None}
        if merged != record["fields"]:
            before, record["fields"] = record["fields"], merged
            self.effect("update_record", table=table["id"], id=record_id, fields=values)
            self.hooks.changed(table, record, before)
        return record

    def _remove(self, table: dict[str, Any], record_id: str) -> dict[str, Any]:
        self.record_of(table, record_id)
        del table["records"][record_id]
        self.effect("delete_record", table=table["id"], id=record_id)
        self.hooks.destroyed(table, record_id)
        return {"id": record_id, "deleted": True}

    def _checked(self, table: dict[str, Any], fields: dict[str, Any], typecast: bool) -> dict[str, Any]:
        known = {f["name"]: f for f in table["fields"]} | {f["id"]: f for f in table["fields"]}
        for name, value in fields.items():
            if name not in known:
                raise Refused("UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')
            _check_value(known[name], value, typecast)
        return {known[name]["name"]: value for name, value in fields.items() if value is not None}

    # -- look-ups ----------------------------------------------------------------------------------------------------

    def base_of(self, request: web.Request) -> dict[str, Any]:
        base: dict[str, Any] | None = self.bases.get(request.match_info["base"])
        if base is None:
            raise Refused("NOT_FOUND", "", 404)
        return base

    def table_of(self, request: web.Request) -> dict[str, Any]:
        wanted = request.match_info["table"]
        found: dict[str, Any] | None = next(
            (t for t in self.base_of(request)["tables"] if wanted in (t["id"], t["name"])), None
        )
        if found is None:
            raise Refused(
                "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the model was not found.", 403
            )
        return found

    def record_of(self, table: dict[str, Any], record_id: str) -> dict[str, Any]:
        found: dict[str, Any] | None = table["records"].get(record_id)
        if found is None:
            raise Refused("NOT_FOUND", "", 404)
        return found

    def new_id(self, prefix: str) -> str:
        return prefix + "".join(self._random.choices(string.ascii_letters + string.digits, k=14))


def _check_value(field: dict[str, Any], value: Any, typecast: bool) -> None:
    kind = field["type"]
    wrong = Refused("INVALID_VALUE_FOR_COLUMN", f'Field "{field["name"]}" cannot accept the provided value')
    if value is None or typecast:
        return
    if kind in PLAIN and not isinstance(value, str):
        raise wrong
    if kind in NUMBERS and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise wrong
    if kind == "checkbox" and not isinstance(value, bool):
        raise wrong
    if kind == "singleSelect" and value not in [c["name"] for c in field["options"]["choices"]]:
        message = f'Insufficient permissions to create new select option ""{value}""'
        raise Refused("INVALID_MULTIPLE_CHOICE_OPTIONS", message)
    if kind == "multipleRecordLinks" and not (isinstance(value, list) and all(str(v).startswith("rec") for v in value)):
        raise Refused("INVALID_VALUE_FOR_COLUMN", "Value is not an array of record IDs.")


def _table(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "records"}
