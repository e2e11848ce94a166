"""HubSpot CRM: objects, search with index delay, batches, owners, pipelines, OAuth, webhooks. Shapes as its SDK needs them.

Control beyond the common: POST /_sandbox/typed   {"type"?: "contacts", "id"?, "properties"}   somebody who is signed in enters
an object, or changes one: the object.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.vendors import hubspot_history as history
from sandbox.vendors import hubspot_merging as merging
from sandbox.vendors import hubspot_schema as schema
from sandbox.vendors import hubspot_search as searching
from sandbox.vendors.common import Emulator, Window
from sandbox.vendors.hubspot_links import Links, Place
from sandbox.vendors.hubspot_schema import DEFAULT_SHOWN, PROPERTIES, SINGULAR, TYPE_IDS, UNIQUE, kind_of
from sandbox.vendors.oauth import HubSpotOAuth
from sandbox.vendors.webhooks import Webhooks

TOKEN = "pat-na1-sandbox"
CLIENT_ID = "sandbox-hubspot-client"
CLIENT_SECRET = "sandbox-hubspot-secret"
REFRESH_TOKEN = "sandbox-hubspot-refresh"
PORTAL_ID, APP_ID = 48000001, 1000001
OLD_EVENTS = ("contacts", "companies", "deals", "tickets")
"""Kinds that have webhook events of their own name; others are an "object" with an objectTypeId."""


class Problem(Exception):
    """A request HubSpot refuses."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.text)
        self.response = response


class HubSpot(Emulator):
    """One HubSpot account."""

    vendor = "hubspot"
    lasting = (
        "effects",
        "objects",
        "merged",
        "_next",
        "_event",
        "links.types",
        "oauth.codes",
        "oauth.refresh",
        "oauth.consents",
        "oauth.grants",
    )

    def __init__(self, *, index_delay: float = 1.0) -> None:
        super().__init__()
        self.index_delay = index_delay
        self.tokens = {TOKEN}  # of private apps, as long as they are not revoked
        self.oauth = HubSpotOAuth(CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, PORTAL_ID)
        self.webhooks = Webhooks(signature)
        self.links = Links(lambda kind, number: number in self.objects[kind], self._associated, self.error)
        self.reset()
        for part in (self.oauth, self.webhooks, self.links):
            part.add_routes(self.app)
        for base in ("/crm/v3/objects/{type}", "/crm/objects/2026-09/{type}"):
            self.app.add_routes(
                [
                    web.post(base + "/search", self.search),
                    web.post(base + "/batch/{operation}", self.batch),
                    web.post(base + "/merge", self.merge),
                    web.post(base, self.create),
                    web.get(base, self.list_page),
                    web.get(base + "/{id}", self.read),
                    web.patch(base + "/{id}", self.update),
                    web.delete(base + "/{id}", self.archive),
                ]
            )
        self.app.add_routes(
            [
                web.get("/account-info/v3/details", self.account),
                web.get("/crm/v3/owners", self.owners),
                web.get("/crm/v3/owners/", self.owners),
                web.get("/crm/v3/owners/{id}", self.owner),
                web.get("/crm/v3/pipelines/{type}", self.pipelines),
                web.get("/crm/v3/pipelines/{type}/{id}", self.pipeline),
                web.get("/crm/v3/pipelines/{type}/{id}/stages", self.pipeline),
                web.get("/crm/v3/properties/{type}", self.properties),
                web.post("/_sandbox/typed", self.typed),
            ]
        )
        self.app.on_response_prepare.append(self._rate_headers)

    def reset(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in PROPERTIES}
        self.merged: dict[str, dict[str, str]] = {name: {} for name in PROPERTIES}  # id → the one that it became
        self.links.types.clear()
        self.oauth.reset()
        self.webhooks.reset()
        self._next = 101
        self._event = 1
        self._window = Window(limit=100, seconds=10)
        self._search_window = Window(limit=5, seconds=1)

    def state(self) -> Any:
        return {"objects": self.objects, "associations": sorted(self.links.types)}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.oauth.owns(request) or given in self.tokens:
            return None
        access = self.oauth.bearer(request)
        if access is None:
            text = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
            return self.error(401, text, "INVALID_AUTHENTICATION")
        if access.left <= 0:
            text = f"The OAuth token used to make this call expired {int(-access.left)} second(s) ago."
            return self.error(401, text, "EXPIRED_AUTHENTICATION")
        return None

    def limited(self, request: web.Request) -> web.Response | None:
        if self.oauth.owns(request):
            return None
        searches = request.path.endswith("/search")
        if (self._search_window if searches else self._window).allows():
            return None
        body = {
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid.uuid4()),
            "policyName": "SECONDLY" if searches else "TEN_SECONDLY_ROLLING",
        }
        return web.json_response(body, status=429)

    def error(self, status: int, message: str, category: str | None = None) -> web.Response:
        names = {400: "VALIDATION_ERROR", 404: "OBJECT_NOT_FOUND", 409: "CONFLICT", 429: "RATE_LIMITS"}
        body = {
            "status": "error",
            "message": message,
            "correlationId": str(uuid.uuid4()),
            "category": category or names.get(status, "INTERNAL_ERROR"),
        }
        return web.json_response(body, status=status)

    # -- objects -----------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        kind = kind_of(request.match_info["type"])
        given = await request.json()
        properties, associations = given.get("properties"), given.get("associations") or []
        problem = self._problem(kind, properties, own=None) or self.links.problem(kind, associations)
        if problem is not None:
            return problem
        made = self._insert(kind, properties, associations)
        return web.json_response(self._shown(kind, made, [*DEFAULT_SHOWN[kind], *properties]), status=201)

    async def read(self, request: web.Request) -> web.Response:
        kind = kind_of(request.match_info["type"])
        try:
            found = self._named(kind, request.match_info["id"], request.query.get("idProperty"))
        except Problem as problem:
            return problem.response
        shown = self._shown(kind, found, _listed(request))
        if past := _listed(request, "propertiesWithHistory"):
            shown["propertiesWithHistory"] = history.shown(found, past)
        if asked := request.query.get("associations"):
            shown |= self.links.shown_with(kind, found["id"], asked)
        return web.json_response(shown)

    async def update(self, request: web.Request) -> web.Response:
        kind = kind_of(request.match_info["type"])
        properties = (await request.json()).get("properties")
        try:
            found = self._named(kind, request.match_info["id"], request.query.get("idProperty"))
        except Problem as problem:
            return problem.response
        if refused := self._problem(kind, properties, own=found["id"]):
            return refused
        self._change(kind, found, properties)
        return web.json_response(self._shown(kind, found, [*DEFAULT_SHOWN[kind], *properties]))

    async def typed(self, request: web.Request) -> web.Response:
        """What somebody at the business types into the CRM."""
        given = await request.json()
        kind, properties = kind_of(given.get("type", "contacts")), given["properties"]
        found = self._find(kind, str(given["id"]), None) if "id" in given else None
        if refused := self._problem(kind, properties, own=found["id"] if found else None):
            return refused
        if found is None:
            found = self._insert(kind, properties, [], history.PERSON)
        else:
            self._change(kind, found, properties, history.PERSON)
        return web.json_response(self._shown(kind, found, [*DEFAULT_SHOWN[kind], *properties]))

    async def archive(self, request: web.Request) -> web.Response:
        self._archive(kind_of(request.match_info["type"]), request.match_info["id"])
        return web.Response(status=204)

    async def merge(self, request: web.Request) -> web.Response:
        """Two objects become one for good: the primary one's values win, what belonged to the other is its own from now on."""
        kind = kind_of(request.match_info["type"])
        given = await request.json()
        names = ("primaryObjectId", "objectIdToMerge")
        if wrong := [name for name in names if not isinstance(given.get(name), str) or not given[name]]:
            return self.error(400, f"Invalid input JSON: {wrong[0]} must be a text")
        found = [self.objects[kind].get(self._became(kind, given[name])) for name in names]
        if missing := [given[name] for name, one in zip(names, found, strict=True) if one is None]:
            return self.error(404, f"{SINGULAR[kind]} {missing[0]} does not exist")
        primary, other = (one for one in found if one is not None)
        if primary is other:
            return self.error(400, f"{SINGULAR[kind]} {primary['id']} cannot be merged with itself")
        if merging.too_many(primary, other):
            return self.error(400, f"a {SINGULAR[kind]} cannot take part in more than {merging.MOST} merges")
        self._merge(kind, primary, other)
        return web.json_response(self._shown(kind, primary, None))

    async def list_page(self, request: web.Request) -> web.Response:
        kind = kind_of(request.match_info["type"])
        limit = int(request.query.get("limit", 10))
        if not 1 <= limit <= 100:
            return self.error(400, "limit must be between 1 and 100")
        after = int(request.query.get("after", 0))
        rows = sorted((o for o in self.objects[kind].values() if int(o["id"]) > after), key=lambda o: int(o["id"]))
        page = {"results": [self._shown(kind, o, _listed(request)) for o in rows[:limit]]}
        return web.json_response(page | _paging(rows, limit, rows[limit - 1]["id"] if len(rows) > limit else ""))

    async def search(self, request: web.Request) -> web.Response:
        kind = kind_of(request.match_info["type"])
        given = await request.json()
        indexed = [o for o in self.objects[kind].values() if time.monotonic() - o["_at"] >= self.index_delay]
        try:
            searching.check(kind, given)
            rows = searching.found(
                kind, indexed, given, lambda o: lambda other, number: self.links.linked(kind, o["id"], other, number)
            )
        except (KeyError, ValueError) as error:
            return self.error(400, f"invalid filter: {error}")
        start, limit = int(given.get("after") or 0), int(given.get("limit") or 10)
        page = rows[start : start + limit]
        body = {"total": len(rows), "results": [self._shown(kind, o, given.get("properties")) for o in page]}
        return web.json_response(body | _paging(rows[start:], limit, str(start + limit)))

    # -- batches -----------------------------------------------------------------------------------------------------

    async def batch(self, request: web.Request) -> web.Response:
        """All or nothing, except that a read answers with what it found (207 when not everything)."""
        kind, operation = kind_of(request.match_info["type"]), request.match_info["operation"]
        given = await request.json()
        inputs = given.get("inputs", [])
        if len(inputs) > 100:
            return self.error(400, "at most 100 inputs")
        if operation == "archive":
            for item in inputs:
                self._archive(kind, str(item["id"]))
            return web.Response(status=204)
        if operation == "read":
            return self._batch_read(kind, given)
        if operation not in ("create", "update", "upsert"):
            raise web.HTTPNotFound
        try:
            planned = [self._planned(kind, operation, item) for item in inputs]
            self._check_distinct(kind, planned)
        except Problem as problem:
            return problem.response
        results = []
        for (found, properties), item in zip(planned, inputs, strict=True):
            if found is None:
                row = self._insert(kind, properties, item.get("associations") or [])
            else:
                self._change(kind, found, properties)
                row = found
            shown = self._shown(kind, row, [*DEFAULT_SHOWN[kind], *properties])
            results.append(shown | ({"new": found is None} if operation == "upsert" else {}))
        return web.json_response(_complete(results), status=201 if operation == "create" else 200)

    def _batch_read(self, kind: str, given: dict[str, Any]) -> web.Response:
        results, missing = [], []
        for item in given.get("inputs", []):
            try:
                found = self._named(kind, str(item["id"]), given.get("idProperty"))
            except Problem as problem:
                if problem.response.status != 404:
                    return problem.response
                missing.append(str(item["id"]))
            else:
                results.append(self._shown(kind, found, given.get("properties")))
        if not missing:
            return web.json_response(_complete(results))
        text = f"Could not get some {SINGULAR[kind].upper()} objects, they may be deleted or not exist."
        error = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": text,
            "context": {"ids": missing},
            "errors": [],
            "links": {},
        }
        return web.json_response(_complete(results) | {"numErrors": 1, "errors": [error]}, status=207)

    def _planned(self, kind: str, operation: str, item: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """The object an input changes (None: a new one) and the properties it gets."""
        found, properties, key = None, dict(item.get("properties") or {}), item.get("idProperty")
        if operation != "create":
            try:
                found = self._named(kind, str(item["id"]), key)
            except Problem as problem:
                if operation == "update" or problem.response.status != 404 or key in (None, "hs_object_id"):
                    raise
                properties[key] = item["id"]
        associations = item.get("associations") or []
        refused = self._problem(kind, properties, own=found["id"] if found else None)
        if refused := refused or self.links.problem(kind, associations):
            raise Problem(refused)
        return found, properties

    def _check_distinct(self, kind: str, planned: list[tuple[Any, dict[str, Any]]]) -> None:
        values = [
            str(properties[UNIQUE[kind]]).lower() for _, properties in planned if UNIQUE.get(kind, "") in properties
        ]
        if len(set(values)) < len(values):
            raise Problem(self.error(400, f"Duplicate IDs found in batch input: {sorted(values)}"))

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def account(self, request: web.Request) -> web.Response:
        details = {"portalId": PORTAL_ID, "accountType": "STANDARD", "timeZone": "UTC", "companyCurrency": "USD"}
        return web.json_response(details | {"uiDomain": "app.hubspot.com", "dataHostingLocation": "na1"})

    async def owners(self, request: web.Request) -> web.Response:
        wanted = request.query.get("email")
        return web.json_response({"results": [o for o in schema.owners() if wanted in (None, o["email"])]})

    async def owner(self, request: web.Request) -> web.Response:
        found = next((o for o in schema.owners() if o["id"] == request.match_info["id"]), None)
        return web.json_response(found) if found else self.error(404, "resource not found")

    async def pipelines(self, request: web.Request) -> web.Response:
        return web.json_response({"results": schema.pipelines(kind_of(request.match_info["type"]))})

    async def pipeline(self, request: web.Request) -> web.Response:
        rows = schema.pipelines(kind_of(request.match_info["type"]))
        found = next((row for row in rows if row["id"] == request.match_info["id"]), None)
        if found is None:
            return self.error(404, "resource not found")
        return web.json_response({"results": found["stages"]} if request.path.endswith("/stages") else found)

    async def properties(self, request: web.Request) -> web.Response:
        return web.json_response({"results": schema.properties(kind_of(request.match_info["type"]))})

    # -- rules -------------------------------------------------------------------------------------------------------

    def _problem(self, kind: str, properties: Any, *, own: str | None) -> web.Response | None:
        """Why an object (a new one without `own`) cannot have these properties."""
        if not isinstance(properties, dict):
            return self.error(400, "properties: must be an object")
        try:
            schema.check(kind, properties, new=own is None)
        except schema.Invalid as invalid:
            detail = [{"isValid": False, "message": invalid.message, "error": invalid.code, "name": invalid.name}]
            return self.error(400, f"Property values were not valid: {json.dumps(detail)}")
        key = UNIQUE.get(kind)
        if key and properties.get(key):
            other = self._find(kind, str(properties[key]), key)
            if other is not None and other["id"] != own:
                return self.error(409, f"{SINGULAR[kind].title()} already exists. Existing ID: {other['id']}")
        return None

    def _insert(
        self, kind: str, properties: dict[str, Any], associations: list[dict[str, Any]], how: str = history.APP
    ) -> dict[str, Any]:
        number = str(self._next)
        self._next += 1
        now = _now()
        values = _stored(schema.DEFAULTS.get(kind, {}) | properties)
        made = {"id": number, "properties": values, "createdAt": now, "updatedAt": now, "_at": time.monotonic()}
        history.note(made, values, how, APP_ID, now)
        self.objects[kind][number] = made
        self.effect("create", type=kind, id=number, properties=values | _texts(properties))
        self._announce(kind, "creation", [{"objectId": int(number), "changeFlag": "CREATED"}], how)
        for item in associations:
            if target := self.links.target(kind, item):
                numbers = {spec["associationTypeId"] for spec in item["types"]}
                self.links.link((kind, number, target, str(item["to"]["id"])), numbers)
        return made

    def _change(self, kind: str, found: dict[str, Any], properties: dict[str, Any], how: str = history.APP) -> None:
        before, values = found["properties"], _stored(properties)
        changed = {name: value for name, value in values.items() if before.get(name) != value}
        found["properties"] = before | values
        found["updatedAt"] = _now()
        history.note(found, changed, how, APP_ID, found["updatedAt"])
        self.effect("update", type=kind, id=found["id"], properties=properties)
        about = {"objectId": int(found["id"])}
        rows = [about | {"propertyName": name, "propertyValue": value or ""} for name, value in changed.items()]
        self._announce(kind, "propertyChange", rows, how)

    def _merge(self, kind: str, primary: dict[str, Any], other: dict[str, Any]) -> None:
        before, primary["properties"] = primary["properties"], merging.properties(kind, primary, other)
        primary["updatedAt"] = _now()
        taken = {name: value for name, value in primary["properties"].items() if before.get(name) != value}
        history.note(primary, taken, history.MERGE, APP_ID, primary["updatedAt"])
        self.links.move(kind, other["id"], primary["id"])
        del self.objects[kind][other["id"]]
        self.merged[kind][other["id"]] = primary["id"]
        self.effect("merge", type=kind, id=primary["id"], merged=other["id"])
        ids = {"primaryObjectId": int(primary["id"]), "mergedObjectIds": [int(other["id"])]}
        self._announce(kind, "merge", [{"objectId": int(primary["id"])} | ids | {"newObjectId": int(primary["id"])}])

    def _became(self, kind: str, number: str) -> str:
        """The object that a merged one is part of now; else itself."""
        while number in self.merged[kind]:
            number = self.merged[kind][number]
        return number

    def _archive(self, kind: str, number: str) -> None:
        if self.objects[kind].pop(number, None):
            self.links.forget(kind, number)
            self.effect("archive", type=kind, id=number)
            self._announce(kind, "deletion", [{"objectId": int(number), "changeFlag": "DELETED"}])

    def _associated(self, operation: str, place: Place) -> None:
        self.effect(operation, link=list(place))
        source, source_id, target, target_id = place
        about = {
            "fromObjectId": int(source_id),
            "toObjectId": int(target_id),
            "associationRemoved": operation != "associate",
            "associationType": f"{SINGULAR[source]}_to_{SINGULAR[target]}".upper(),
        }
        self._announce(source, "associationChange", [about])

    def _announce(self, kind: str, event: str, rows: list[dict[str, Any]], how: str = history.APP) -> None:
        """One delivery with all that happened at once, to those who subscribed to it."""
        name = f"{SINGULAR[kind] if kind in OLD_EVENTS else 'object'}.{event}"
        more = {} if kind in OLD_EVENTS else {"objectTypeId": TYPE_IDS[kind]}
        events = []
        for row in rows:
            events.append(
                {
                    "eventId": self._event,
                    "subscriptionId": 1,
                    "portalId": PORTAL_ID,
                    "appId": APP_ID,
                    "occurredAt": int(time.time() * 1000),
                    "subscriptionType": name,
                    "attemptNumber": 0,
                    "changeSource": how,
                    "sourceId": str(APP_ID) if how == history.APP else f"userId:{history.USER}",
                    **more,
                    **row,
                }
            )
            self._event += 1
        if events:
            self.webhooks.send(name, json.dumps(events).encode())

    def _named(self, kind: str, key: str, by: str | None) -> dict[str, Any]:
        if by not in (None, "hs_object_id", UNIQUE.get(kind)):
            raise Problem(self.error(400, f"{by} is not a unique property of {kind}"))
        found = self._find(kind, key, by)
        if found is None:
            raise Problem(self.error(404, "resource not found"))
        return found

    def _find(self, kind: str, key: str, by: str | None) -> dict[str, Any] | None:
        if by in (None, "hs_object_id"):
            return self.objects[kind].get(self._became(kind, key))
        wanted = key.lower()
        return next((o for o in self.objects[kind].values() if wanted in merging.named_by(o, str(by))), None)

    def _shown(self, kind: str, item: dict[str, Any], listed: list[str] | None) -> dict[str, Any]:
        names = listed or DEFAULT_SHOWN[kind]
        properties = {name: searching.value_of(item, name) for name in names} | {"hs_object_id": item["id"]}
        return {
            "id": item["id"],
            "properties": properties,
            "createdAt": item["createdAt"],
            "updatedAt": item["updatedAt"],
            "archived": False,
        }

    async def _rate_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """What is left of the ten seconds; answers to searches do not say."""
        if request.path.startswith("/_sandbox/") or request.path.endswith("/search"):
            return
        left = max(self._window.limit - len(self._window.times), 0)
        response.headers.update(
            {
                "X-HubSpot-RateLimit-Max": str(self._window.limit),
                "X-HubSpot-RateLimit-Remaining": str(left),
                "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self._window.seconds * 1000)),
            }
        )


def signature(url: str, body: bytes) -> dict[str, str]:
    """HubSpot's proof of a webhook, version 3: method, address, body and time under the app's secret."""
    now = str(int(time.time() * 1000))
    digest = hmac.new(CLIENT_SECRET.encode(), f"POST{url}{body.decode()}{now}".encode(), hashlib.sha256).digest()
    return {"X-HubSpot-Signature-v3": base64.b64encode(digest).decode(), "X-HubSpot-Request-Timestamp": now}


def _texts(properties: dict[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in properties.items()}


def _stored(properties: dict[str, Any]) -> dict[str, str | None]:
    values = _texts(properties)
    for name in schema.RICH_TEXT & values.keys():
        values[name] = schema.sanitized(values[name] or "")
    if values.get("email"):
        values["email"] = str(values["email"]).lower()
    return values


def _listed(request: web.Request, what: str = "properties") -> list[str] | None:
    given = [part for value in request.query.getall(what, []) for part in value.split(",")]
    return given or None


def _complete(results: list[dict[str, Any]]) -> dict[str, Any]:
    now = _now()
    return {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}


def _paging(rows: list[Any], limit: int, after: str) -> dict[str, Any]:
    return {"paging": {"next": {"after": after, "link": f"?after={after}"}}} if len(rows) > limit else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
