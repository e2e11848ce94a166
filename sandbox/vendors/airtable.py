"""Airtable: bases, tables, fields with their options, links mirrored on both sides, records, upserts, formulas, paging."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.vendors import formula
from sandbox.vendors.common import Emulator, Window

TOKEN = "patSandbox0000000.sandbox"
WORKSPACE = "wspSandbox0000001"
PLAIN = {"singleLineText", "multilineText", "richText", "email", "phoneNumber", "url"}
NUMBERS = {"number", "currency", "percent", "rating", "duration"}
NEEDED = {"number": {"precision"}, "percent": {"precision"}, "currency": {"precision", "symbol"},
          "singleSelect": {"choices"}, "multipleSelects": {"choices"}, "date": {"dateFormat"},
          "dateTime": {"dateFormat", "timeFormat", "timeZone"}, "checkbox": {"icon", "color"},
          "multipleRecordLinks": {"linkedTableId"}}  # fmt: skip
FORMATS = {"iso": "YYYY-MM-DD", "us": "M/D/YYYY", "european": "D/M/YYYY", "local": "l", "friendly": "LL",
           "24hour": "HH:mm", "12hour": "h:mma"}  # fmt: skip


class _Refused(Exception):
    """A request Airtable would answer with 422 (or another status)."""

    def __init__(self, kind: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.kind, self.message, self.status = kind, message, status


class Airtable(Emulator):
    """One workspace."""

    vendor = "airtable"

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        meta = "/v0/meta/bases"
        routes = [
            ("GET", "/v0/meta/whoami", self.whoami), ("GET", meta, self.list_bases), ("POST", meta, self.create_base),
            ("GET", meta + "/{base}/tables", self.schema), ("POST", meta + "/{base}/tables", self.create_table),
            ("POST", meta + "/{base}/tables/{table}/fields", self.create_field),
            ("GET", "/v0/{base}/{table}", self.list_records), ("POST", "/v0/{base}/{table}", self.create_records),
            ("POST", "/v0/{base}/{table}/listRecords", self.list_records_by_post),
            ("PATCH", "/v0/{base}/{table}", self.update_records), ("PUT", "/v0/{base}/{table}", self.update_records),
            ("DELETE", "/v0/{base}/{table}", self.delete_records), ("GET", "/v0/{base}/{table}/{record}", self.read),
            ("PATCH", "/v0/{base}/{table}/{record}", self.update_one),
            ("PUT", "/v0/{base}/{table}/{record}", self.update_one),
            ("DELETE", "/v0/{base}/{table}/{record}", self.delete_one),
        ]  # fmt: skip
        for method, path, handler in routes:
            self.app.router.add_route(method, path, self._guarded(handler))

    def reset(self) -> None:
        self.bases: dict[str, dict[str, Any]] = {}
        self._windows: dict[str, Window] = {}
        self._random = random.Random(7)

    def state(self) -> Any:
        return {"bases": list(self.bases.values())}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return self.error(401, "Authentication required", "AUTHENTICATION_REQUIRED")

    def limited(self, request: web.Request) -> web.Response | None:
        parts = request.path.split("/")
        key = next((part for part in parts if part.startswith("app")), "meta")
        window = self._windows.setdefault(key, Window(limit=5, seconds=1, lock_out=30))
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
            except _Refused as refusal:
                return self.error(refusal.status, refusal.message, refusal.kind)
            return answer

        return run

    # -- schema ------------------------------------------------------------------------------------------------------

    async def whoami(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "usrSandbox0000001", "scopes": ["data.records:read", "schema.bases:write"]})

    async def list_bases(self, request: web.Request) -> web.Response:
        rows = [{"id": b["id"], "name": b["name"], "permissionLevel": "create"} for b in self.bases.values()]
        start = int(request.query.get("offset", "itr0")[3:])
        page = {"bases": rows[start : start + 1000]}
        return web.json_response(page | ({"offset": f"itr{start + 1000}"} if len(rows) > start + 1000 else {}))

    async def create_base(self, request: web.Request) -> web.Response:
        given = await request.json()
        if given.get("workspaceId") != WORKSPACE:
            raise _Refused(
                "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the model was not found.", 403
            )
        if not given.get("name") or not given.get("tables"):
            raise _Refused("INVALID_REQUEST_BODY", "name and tables are required")
        base: dict[str, Any] = {"id": self._id("app"), "name": given["name"], "tables": []}
        for table in given["tables"]:
            self._add_table(base, table)
        self.bases[base["id"]] = base
        self.effect("create_base", id=base["id"], name=base["name"])
        return web.json_response({"id": base["id"], "tables": [_table(t) for t in base["tables"]]})

    async def schema(self, request: web.Request) -> web.Response:
        return web.json_response({"tables": [_table(t) for t in self._base(request)["tables"]]})

    async def create_table(self, request: web.Request) -> web.Response:
        base, given = self._base(request), await request.json()
        table = self._add_table(base, given)
        self.effect("create_table", base=base["id"], id=table["id"], name=table["name"])
        return web.json_response(_table(table))

    async def create_field(self, request: web.Request) -> web.Response:
        base, table = self._base(request), self._table(request)
        field = self._add_field(base, table, await request.json())
        self.effect("create_field", base=base["id"], table=table["id"], id=field["id"], name=field["name"])
        return web.json_response(field)

    def _add_table(self, base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        if any(t["name"] == given.get("name") for t in base["tables"]):
            raise _Refused("DUPLICATE_TABLE_NAME", f"Table name {given['name']!r} exists already")
        if not given.get("name") or not given.get("fields"):
            raise _Refused("INVALID_REQUEST_BODY", "a table needs a name and fields")
        table: dict[str, Any] = {"id": self._id("tbl"), "name": given["name"], "fields": [], "records": {}}
        if given.get("description"):
            table["description"] = given["description"]
        base["tables"].append(table)
        for field in given["fields"]:
            self._add_field(base, table, field)
        table["primaryFieldId"] = table["fields"][0]["id"]
        table["views"] = [{"id": self._id("viw"), "name": "Grid view", "type": "grid"}]
        return table

    def _add_field(self, base: dict[str, Any], table: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        name, kind, options = given.get("name"), given.get("type"), given.get("options") or {}
        if not name or any(f["name"] == name for f in table["fields"]):
            raise _Refused("DUPLICATE_OR_EMPTY_FIELD_NAME", f"Field name {name!r} is empty or exists already")
        if kind not in PLAIN | NUMBERS | set(NEEDED) | {"multipleAttachments", "singleCollaborator", "autoNumber"}:
            raise _Refused("INVALID_FIELD_TYPE", f"Invalid field type {kind!r}")
        if missing := NEEDED.get(kind, set()) - options.keys():
            raise _Refused(
                "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE",
                f"Invalid options for {table['name']}.{name}: Failed schema validation: missing {sorted(missing)}",
            )
        field: dict[str, Any] = {"id": self._id("fld"), "name": name, "type": kind}
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
            return {"choices": [{"id": self._id("sel"), **choice} for choice in given["choices"]]}
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
            raise _Refused("INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", f"Failed schema validation: {sorted(extra)}")
        linked = next((t for t in base["tables"] if t["id"] == given["linkedTableId"]), None)
        if linked is None:
            table["fields"].remove(field)
            raise _Refused("INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", "linkedTableId is not a table of this base")
        name = table["name"]
        while any(f["name"] == name for f in linked["fields"]):
            name += " copy"
        common = {"isReversed": False, "prefersSingleRecordLink": False}
        inverse = {"id": self._id("fld"), "name": name, "type": "multipleRecordLinks",
                   "options": {"linkedTableId": table["id"], "inverseLinkFieldId": field["id"], **common}}  # fmt: skip
        linked["fields"].append(inverse)
        return {"linkedTableId": linked["id"], "inverseLinkFieldId": inverse["id"], **common}

    # -- records -----------------------------------------------------------------------------------------------------

    async def list_records(self, request: web.Request) -> web.Response:
        query: dict[str, Any] = dict(request.query)
        shown: list[str] = request.query.getall("fields[]", [])
        query["fields"] = shown
        if "sort[0][field]" in query:
            query["sort"] = [{"field": query["sort[0][field]"], "direction": query.get("sort[0][direction]", "asc")}]
        return self._page(self._table(request), query)

    async def list_records_by_post(self, request: web.Request) -> web.Response:
        return self._page(self._table(request), await request.json())

    def _page(self, table: dict[str, Any], query: dict[str, Any]) -> web.Response:
        size = int(query.get("pageSize") or 100)
        if not 1 <= size <= 100:
            raise _Refused("INVALID_REQUEST_UNKNOWN", "pageSize must be between 1 and 100")
        rows = list(table["records"].values())
        if wanted := query.get("filterByFormula"):
            try:
                rows = [r for r in rows if formula.matches(wanted, r["id"], r["fields"])]
            except ValueError as error:
                raise _Refused("INVALID_FILTER_BY_FORMULA", f"The formula is invalid: {error}") from error
        for rule in reversed(query.get("sort") or []):
            rows.sort(key=lambda r: str(r["fields"].get(rule["field"], "")), reverse=rule.get("direction") == "desc")
        if query.get("maxRecords"):
            rows = rows[: int(query["maxRecords"])]
        start = _offset(query.get("offset"))
        part = rows[start : start + size]
        shown = query.get("fields") or None
        records = [r | {"fields": {k: v for k, v in r["fields"].items() if not shown or k in shown}} for r in part]
        more = {"offset": f"itr{start + size}/{part[-1]['id']}"} if len(rows) > start + size else {}
        return web.json_response({"records": records} | more)

    async def create_records(self, request: web.Request) -> web.Response:
        table, given = self._table(request), await request.json()
        if "records" not in given:
            made = self._insert(table, given.get("fields") or {}, typecast=bool(given.get("typecast")))
            return web.json_response(made)
        _at_most_ten(given["records"])
        typecast = bool(given.get("typecast"))
        for item in given["records"]:
            self._checked(table, item["fields"], typecast)
        return web.json_response(
            {"records": [self._insert(table, i["fields"], typecast=typecast) for i in given["records"]]}
        )

    async def update_records(self, request: web.Request) -> web.Response:
        table, given = self._table(request), await request.json()
        _at_most_ten(given["records"])
        typecast, replace = bool(given.get("typecast")), request.method == "PUT"
        for item in given["records"]:
            self._checked(table, item["fields"], typecast)
        if "performUpsert" in given:
            return web.json_response(self._upsert(table, given, typecast, replace))
        return web.json_response(
            {"records": [self._change(table, i["id"], i["fields"], typecast, replace) for i in given["records"]]}
        )

    def _upsert(self, table: dict[str, Any], given: dict[str, Any], typecast: bool, replace: bool) -> dict[str, Any]:
        keys = given["performUpsert"]["fieldsToMergeOn"]
        done, created, updated = [], [], []
        for item in given["records"]:
            wanted = [item["fields"].get(key) for key in keys]
            same = [r for r in table["records"].values() if [r["fields"].get(key) for key in keys] == wanted]
            if len(same) > 1:
                raise _Refused("INVALID_VALUE_FOR_COLUMN", "more than one record matches fieldsToMergeOn")
            if same:
                done.append(self._change(table, same[0]["id"], item["fields"], typecast, replace))
                updated.append(same[0]["id"])
            else:
                done.append(self._insert(table, item["fields"], typecast=typecast))
                created.append(done[-1]["id"])
        return {"records": done, "createdRecords": created, "updatedRecords": updated}

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response(self._record(self._table(request), request.match_info["record"]))

    async def update_one(self, request: web.Request) -> web.Response:
        table, given = self._table(request), await request.json()
        typecast = bool(given.get("typecast"))
        self._checked(table, given["fields"], typecast)
        record = request.match_info["record"]
        return web.json_response(self._change(table, record, given["fields"], typecast, request.method == "PUT"))

    async def delete_one(self, request: web.Request) -> web.Response:
        return web.json_response(self._remove(self._table(request), request.match_info["record"]))

    async def delete_records(self, request: web.Request) -> web.Response:
        table = self._table(request)
        ids: list[str] = request.query.getall("records[]", [])
        _at_most_ten(ids)
        return web.json_response({"records": [self._remove(table, record) for record in ids]})

    def _insert(self, table: dict[str, Any], fields: dict[str, Any], *, typecast: bool) -> dict[str, Any]:
        values = self._checked(table, fields, typecast)
        record = {"id": self._id("rec"), "createdTime": _now(), "fields": values}
        table["records"][record["id"]] = record
        self.effect("create_record", table=table["id"], id=record["id"], fields=values)
        return record

    def _change(
        self, table: dict[str, Any], record_id: str, fields: dict[str, Any], typecast: bool, replace: bool
    ) -> dict[str, Any]:
        record = self._record(table, record_id)
        values = self._checked(table, fields, typecast)
        merged = values if replace else record["fields"] | values
        merged = {key: value for key, value in merged.items() if value is not None}
        if merged != record["fields"]:
            record["fields"] = merged
            self.effect("update_record", table=table["id"], id=record_id, fields=values)
        return record

    def _remove(self, table: dict[str, Any], record_id: str) -> dict[str, Any]:
        self._record(table, record_id)
        del table["records"][record_id]
        self.effect("delete_record", table=table["id"], id=record_id)
        return {"id": record_id, "deleted": True}

    def _checked(self, table: dict[str, Any], fields: dict[str, Any], typecast: bool) -> dict[str, Any]:
        known = {f["name"]: f for f in table["fields"]} | {f["id"]: f for f in table["fields"]}
        for name, value in fields.items():
            if name not in known:
                raise _Refused("UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')
            _check_value(known[name], value, typecast)
        return {known[name]["name"]: value for name, value in fields.items() if value is not None}

    # -- look-ups ----------------------------------------------------------------------------------------------------

    def _base(self, request: web.Request) -> dict[str, Any]:
        base: dict[str, Any] | None = self.bases.get(request.match_info["base"])
        if base is None:
            raise _Refused("NOT_FOUND", "", 404)
        return base

    def _table(self, request: web.Request) -> dict[str, Any]:
        wanted = request.match_info["table"]
        found: dict[str, Any] | None = next(
            (t for t in self._base(request)["tables"] if wanted in (t["id"], t["name"])), None
        )
        if found is None:
            raise _Refused(
                "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "Invalid permissions, or the model was not found.", 403
            )
        return found

    def _record(self, table: dict[str, Any], record_id: str) -> dict[str, Any]:
        found: dict[str, Any] | None = table["records"].get(record_id)
        if found is None:
            raise _Refused("NOT_FOUND", "", 404)
        return found

    def _id(self, prefix: str) -> str:
        return prefix + "".join(self._random.choices(string.ascii_letters + string.digits, k=14))


def _check_value(field: dict[str, Any], value: Any, typecast: bool) -> None:
    kind = field["type"]
    wrong = _Refused("INVALID_VALUE_FOR_COLUMN", f'Field "{field["name"]}" cannot accept the provided value')
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
        raise _Refused("INVALID_MULTIPLE_CHOICE_OPTIONS", message)
    if kind == "multipleRecordLinks" and not (isinstance(value, list) and all(str(v).startswith("rec") for v in value)):
        raise _Refused("INVALID_VALUE_FOR_COLUMN", "Value is not an array of record IDs.")


def _at_most_ten(items: list[Any]) -> None:
    if not 1 <= len(items) <= 10:
        raise _Refused("INVALID_REQUEST_UNKNOWN", "between 1 and 10 records per request")


def _offset(given: str | None) -> int:
    if not given:
        return 0
    try:
        return int(given.split("/")[0].removeprefix("itr"))
    except ValueError:
        raise _Refused("LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "the offset is stale") from None


def _table(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "records"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
