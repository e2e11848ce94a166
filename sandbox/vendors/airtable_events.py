"""Airtable's webhooks (a signed ping, payloads to be fetched by cursor) and the comments of records."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.vendors.airtable_query import Refused, by_field_id, now
from sandbox.vendors.webhooks import Receiver, Sign, Webhooks

if TYPE_CHECKING:
    from sandbox.vendors.airtable import Airtable

DAYS = 7
MOST = 10
PER_CALL = 50
USER = {"id": "usrSandbox0000001", "email": "sandbox@viox.example", "name": "Sandbox"}
DATA_TYPES = {"tableData", "tableFields", "tableMetadata"}
Route = tuple[str, str, Any]


def _sign(secret: bytes) -> Sign:
    return lambda url, body: {
        "X-Airtable-Content-MAC": "hmac-sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    }


class Hooks:
    """The webhooks of all bases. What one request changes becomes one payload with a transaction number."""

    def __init__(self, airtable: Airtable) -> None:
        self._airtable = airtable
        self.sender = Webhooks(_sign(b""))
        self.sender.add_routes(airtable.app)
        self.reset()

    def reset(self) -> None:
        self._hooks: dict[str, dict[str, Any]] = {}
        self._changes: list[tuple[str, str, str, Any]] = []
        self._transactions: dict[str, int] = {}
        self.sender.reset()

    def state(self) -> list[dict[str, Any]]:
        return [self._shown(hook) for hook in self._hooks.values()]

    def routes(self) -> list[Route]:
        root = "/v0/bases/{base}/webhooks"
        return [
            ("GET", root, self.list),
            ("POST", root, self.create),
            ("DELETE", root + "/{hook}", self.delete),
            ("POST", root + "/{hook}/refresh", self.refresh),
            ("POST", root + "/{hook}/enableNotifications", self.enable),
            ("GET", root + "/{hook}/payloads", self.payloads),
        ]

    # -- what happens, told by the tables ----------------------------------------------------------------------------

    def created(self, table: dict[str, Any], record: dict[str, Any]) -> None:
        cells = {"createdTime": record["createdTime"], "cellValuesByFieldId": by_field_id(table, record["fields"])}
        self._changes.append((table["id"], "add", record["id"], cells))

    def changed(self, table: dict[str, Any], record: dict[str, Any], before: dict[str, Any]) -> None:
        old, new = by_field_id(table, before), by_field_id(table, record["fields"])
        touched = [field for field in old | new if old.get(field) != new.get(field)]
        cells = {
            "current": {"cellValuesByFieldId": {field: new.get(field) for field in touched}},
            "previous": {"cellValuesByFieldId": {field: old.get(field) for field in touched}},
        }
        self._changes.append((table["id"], "update", record["id"], cells))

    def destroyed(self, table: dict[str, Any], record_id: str) -> None:
        self._changes.append((table["id"], "remove", record_id, None))

    def created_table(self, table: dict[str, Any]) -> None:
        fields = {f["id"]: {"name": f["name"], "type": f["type"]} for f in table["fields"]}
        what = {"metadata": {"name": table["name"]}, "fieldsById": fields, "recordsById": {}}
        self._changes.append((table["id"], "table", "", what))

    def created_field(self, table: dict[str, Any], field: dict[str, Any]) -> None:
        self._changes.append((table["id"], "field", field["id"], {"name": field["name"], "type": field["type"]}))

    def flush(self, base: str) -> None:
        """Make one payload of what a request changed, for every webhook that wants some of it."""
        changes, self._changes = self._changes, []
        if not changes:
            return
        self._transactions[base] = self._transactions.get(base, 0) + 1
        for hook in [h for h in self._hooks.values() if h["base"] == base and _alive(h)]:
            filters = hook["specification"]["options"]["filters"]
            includes = hook["specification"]["options"].get("includes") or {}
            if wanted := [c for c in changes if _passes(filters, c)]:
                action = {"source": "publicApi", "sourceMetadata": {"user": USER | {"permissionLevel": "create"}}}
                head = {
                    "timestamp": now(),
                    "baseTransactionNumber": self._transactions[base],
                    "payloadFormat": "v0",
                    "actionMetadata": action,
                }
                hook["payloads"].append(head | _body(wanted, bool(includes.get("includePreviousCellValues"))))
                self._ping(hook)

    def _ping(self, hook: dict[str, Any]) -> None:
        if not hook["url"] or not hook["notify"]:
            return
        body = {"base": {"id": hook["base"]}, "webhook": {"id": hook["id"]}, "timestamp": now()}
        receiver = Receiver(hook["url"], frozenset(), _sign(hook["secret"]))
        self.sender.send_to(receiver, hook["id"], json.dumps(body).encode())

    # -- the API -----------------------------------------------------------------------------------------------------

    async def list(self, request: web.Request) -> web.Response:
        base = self._airtable.base_of(request)["id"]
        return web.json_response({"webhooks": [self._shown(h) for h in self._hooks.values() if h["base"] == base]})

    async def create(self, request: web.Request) -> web.Response:
        base, given = self._airtable.base_of(request)["id"], await request.json()
        specification = given.get("specification") or {}
        filters = specification.get("options", {}).get("filters", {})
        types = filters.get("dataTypes") or []
        if not types or set(types) - DATA_TYPES:
            raise Refused("INVALID_REQUEST_BODY", f"filters.dataTypes names some of {sorted(DATA_TYPES)}")
        if sum(hook["base"] == base for hook in self._hooks.values()) >= MOST:
            raise Refused("TOO_MANY_WEBHOOKS_IN_BASE", f"a base has at most {MOST} webhooks")
        secret = secrets.token_bytes(32)
        hook = {
            "id": self._airtable.new_id("ach"),
            "base": base,
            "url": given.get("notificationUrl"),
            "secret": secret,
            "specification": specification,
            "notify": True,
            "expires": _expiry(),
            "payloads": [],
        }
        self._hooks[hook["id"]] = hook
        self._airtable.effect("create_webhook", base=base, id=hook["id"], url=hook["url"])
        encoded = base64.b64encode(secret).decode()
        return web.json_response({"id": hook["id"], "macSecretBase64": encoded, "expirationTime": hook["expires"]})

    async def delete(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        del self._hooks[hook["id"]]
        self._airtable.effect("delete_webhook", base=hook["base"], id=hook["id"])
        return web.Response(status=204)

    async def refresh(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        hook["expires"] = _expiry()
        return web.json_response({"expirationTime": hook["expires"]})

    async def enable(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        hook["notify"] = bool((await request.json())["enable"])
        return web.json_response({})

    async def payloads(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        cursor, limit = int(request.query.get("cursor", 1)), int(request.query.get("limit", PER_CALL))
        if cursor < 1 or not 1 <= limit <= PER_CALL:
            raise Refused("INVALID_REQUEST_UNKNOWN", f"cursor starts at 1, limit is at most {PER_CALL}")
        hook["expires"] = _expiry()
        part = hook["payloads"][cursor - 1 : cursor - 1 + limit]
        after = cursor + len(part)
        more = after <= len(hook["payloads"])
        answer = {"payloads": part, "cursor": after, "mightHaveMore": more, "payloadFormat": "v0"}
        return web.json_response(answer)

    def _hook(self, request: web.Request) -> dict[str, Any]:
        found = self._hooks.get(request.match_info["hook"])
        if found is None or found["base"] != request.match_info["base"]:
            raise Refused("NOT_FOUND", "", 404)
        return found

    def _shown(self, hook: dict[str, Any]) -> dict[str, Any]:
        pings = [d for d in self.sender.deliveries if d.event == hook["id"] and 200 <= d.status < 300]
        last = json.loads(pings[-1].body)["timestamp"] if pings else None
        return {
            "id": hook["id"],
            "areNotificationsEnabled": hook["notify"],
            "isHookEnabled": _alive(hook),
            "cursorForNextPayload": len(hook["payloads"]) + 1,
            "notificationUrl": hook["url"],
            "lastSuccessfulNotificationTime": last,
            "lastNotificationResult": None,
            "expirationTime": hook["expires"],
            "specification": hook["specification"],
        }


class Comments:
    """What people say about records."""

    def __init__(self, airtable: Airtable) -> None:
        self._airtable = airtable
        self.reset()

    def reset(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def routes(self) -> list[Route]:
        root = "/v0/{base}/{table}/{record}/comments"
        return [
            ("GET", root, self.list_all),
            ("POST", root, self.create),
            ("PATCH", root + "/{comment}", self.update),
            ("DELETE", root + "/{comment}", self.delete),
        ]

    async def list_all(self, request: web.Request) -> web.Response:
        """Newest first, as Airtable has them."""
        rows = self._of(request)[::-1]
        start, size = int(request.query.get("offset", 0)), int(request.query.get("pageSize", 100))
        after = str(start + size) if len(rows) > start + size else None
        return web.json_response({"comments": rows[start : start + size], "offset": after})

    async def create(self, request: web.Request) -> web.Response:
        rows, text = self._of(request), (await request.json()).get("text")
        if not text:
            raise Refused("INVALID_REQUEST_BODY", "text is required")
        comment = {
            "id": self._airtable.new_id("com"),
            "author": USER,
            "text": text,
            "createdTime": now(),
            "lastUpdatedTime": None,
        }
        rows.append(comment)
        self._airtable.effect("comment", record=request.match_info["record"], id=comment["id"], text=text)
        return web.json_response(comment)

    async def update(self, request: web.Request) -> web.Response:
        comment = self._comment(request)
        comment |= {"text": (await request.json())["text"], "lastUpdatedTime": now()}
        self._airtable.effect("update_comment", id=comment["id"], text=comment["text"])
        return web.json_response(comment)

    async def delete(self, request: web.Request) -> web.Response:
        comment = self._comment(request)
        self._of(request).remove(comment)
        self._airtable.effect("delete_comment", id=comment["id"])
        return web.json_response({"id": comment["id"], "deleted": True})

    def _of(self, request: web.Request) -> list[dict[str, Any]]:
        record = self._airtable.record_of(self._airtable.table_of(request), request.match_info["record"])
        return self.rows.setdefault(record["id"], [])

    def _comment(self, request: web.Request) -> dict[str, Any]:
        found = next((c for c in self._of(request) if c["id"] == request.match_info["comment"]), None)
        if found is None:
            raise Refused("NOT_FOUND", "", 404)
        return found


def _passes(filters: dict[str, Any], change: tuple[str, str, str, Any]) -> bool:
    table, kind, _, what = change
    needed = {"table": "tableMetadata", "field": "tableFields"}.get(kind, "tableData")
    watched = set(filters.get("watchDataInFieldIds") or [])
    touched = set(what["current"]["cellValuesByFieldId"]) if kind == "update" else watched
    return (
        needed in filters["dataTypes"]
        and filters.get("recordChangeScope") in (None, table)
        and (needed != "tableData" or kind in (filters.get("changeTypes") or [kind]))
        and "publicApi" in (filters.get("fromSources") or ["publicApi"])
        and (not watched or bool(watched & touched))
    )


def _body(changes: list[tuple[str, str, str, Any]], previous: bool) -> dict[str, Any]:
    names = {"add": "createdRecordsById", "update": "changedRecordsById", "field": "createdFieldsById"}
    tables: dict[str, dict[str, Any]] = {}
    made: dict[str, Any] = {}
    for table, kind, of, what in changes:
        if kind == "table":
            made.setdefault("createdTablesById", {})[table] = what
        elif kind == "remove":
            tables.setdefault(table, {}).setdefault("destroyedRecordIds", []).append(of)
        else:
            shown = what if previous or kind != "update" else {"current": what["current"]}
            tables.setdefault(table, {}).setdefault(names[kind], {})[of] = shown
    return made | ({"changedTablesById": tables} if tables else {})


def _alive(hook: dict[str, Any]) -> bool:
    return bool(hook["expires"] > now())


def _expiry() -> str:
    until = datetime.now(UTC) + timedelta(days=DAYS)
    return until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
