"""HubSpot CRM: objects, search with index delay, associations, owners, pipelines, batches. Shapes as its SDK needs them."""

from __future__ import annotations

import json
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.vendors.common import Emulator, Window

TOKEN = "pat-na1-sandbox"
TYPES = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-5": "tickets", "0-46": "notes", "0-27": "tasks"}
PROPERTIES = {
    "contacts": {"email", "firstname", "lastname", "phone", "company", "lifecyclestage", "website", "hs_lead_status",
                 "jobtitle", "city", "hubspot_owner_id"},
    "companies": {"name", "domain", "phone", "city", "industry", "hubspot_owner_id"},
    "deals": {"dealname", "pipeline", "dealstage", "amount", "closedate", "description", "hubspot_owner_id"},
    "tickets": {"subject", "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_priority", "hubspot_owner_id"},
    "notes": {"hs_timestamp", "hs_note_body", "hubspot_owner_id"},
    "tasks": {"hs_timestamp", "hs_task_subject", "hs_task_body", "hs_task_status", "hs_task_priority", "hs_task_type",
              "hubspot_owner_id"},
}  # fmt: skip
REQUIRED = {"notes": ("hs_timestamp",), "tasks": ("hs_timestamp",), "deals": ("dealname", "dealstage")}
DEFAULT_SHOWN = {"contacts": ("email", "firstname", "lastname"), "deals": ("dealname", "dealstage", "pipeline", "amount"),
                 "companies": ("name", "domain"), "tickets": ("subject",), "notes": (), "tasks": ()}  # fmt: skip
# (from, to) → HUBSPOT_DEFINED association type id
ASSOCIATION = {("contacts", "deals"): 4, ("deals", "contacts"): 3, ("contacts", "companies"): 279,
               ("deals", "companies"): 341, ("tickets", "contacts"): 16, ("contacts", "tickets"): 15,
               ("notes", "contacts"): 202, ("contacts", "notes"): 201, ("notes", "deals"): 214, ("deals", "notes"): 213,
               ("tasks", "contacts"): 204, ("contacts", "tasks"): 203, ("tasks", "deals"): 216,
               ("deals", "tasks"): 215}  # fmt: skip
STAGES = ("appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "closedwon", "closedlost")
EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")


class HubSpot(Emulator):
    """One HubSpot account."""

    vendor = "hubspot"

    def __init__(self, *, index_delay: float = 1.0) -> None:
        super().__init__()
        self.index_delay = index_delay
        self.reset()
        base = "/crm/v3/objects/{type}"
        self.app.add_routes(
            [
                web.post(base + "/search", self.search),
                web.post(base + "/batch/{operation}", self.batch),
                web.post(base, self.create),
                web.get(base, self.list_page),
                web.get(base + "/{id}", self.read),
                web.patch(base + "/{id}", self.update),
                web.delete(base + "/{id}", self.archive),
                web.put("/crm/v4/objects/{from}/{fromId}/associations/default/{to}/{toId}", self.associate),
                web.put("/crm/v4/objects/{from}/{fromId}/associations/{to}/{toId}", self.associate_typed),
                web.get("/crm/v4/objects/{from}/{fromId}/associations/{to}", self.associations),
                web.delete("/crm/v4/objects/{from}/{fromId}/associations/{to}/{toId}", self.dissociate),
                web.get("/crm/v3/owners/", self.owners),
                web.get("/crm/v3/pipelines/{type}", self.pipelines),
                web.get("/crm/v3/properties/{type}", self.properties),
            ]
        )

    def reset(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in PROPERTIES}
        self.links: set[tuple[str, str, str, str]] = set()
        self._next = 101
        self._window = Window(limit=100, seconds=10)
        self._search_window = Window(limit=5, seconds=1)

    def state(self) -> Any:
        return {"objects": self.objects, "associations": sorted(self.links)}

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        text = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
        return self.error(401, text, "INVALID_AUTHENTICATION")

    def limited(self, request: web.Request) -> web.Response | None:
        searching = request.path.endswith("/search")
        if (self._search_window if searching else self._window).allows():
            return None
        body = {"status": "error", "message": "You have reached your ten_secondly_rolling limit.",
                "errorType": "RATE_LIMIT", "correlationId": str(uuid.uuid4()),
                "policyName": "SECONDLY" if searching else "TEN_SECONDLY_ROLLING"}  # fmt: skip
        return web.json_response(body, status=429, headers={"X-HubSpot-RateLimit-Max": "100"})

    def error(self, status: int, message: str, category: str | None = None) -> web.Response:
        names = {400: "VALIDATION_ERROR", 404: "OBJECT_NOT_FOUND", 409: "CONFLICT", 429: "RATE_LIMITS"}
        body = {"status": "error", "message": message, "correlationId": str(uuid.uuid4()),
                "category": category or names.get(status, "INTERNAL_ERROR")}  # fmt: skip
        return web.json_response(body, status=status)

    # -- objects -----------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        given = await request.json()
        properties = given.get("properties")
        problem = self._problem(kind, properties, new=True)
        if problem is None:
            problem = self._association_problem(kind, given.get("associations") or [])
        if problem is not None:
            return problem
        made = self._insert(kind, properties, given.get("associations") or [])
        return web.json_response(self._shown(kind, made, None), status=201)

    async def read(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        found = self._find(kind, request.match_info["id"], request.query.get("idProperty"))
        if found is None:
            return self.error(404, "resource not found")
        return web.json_response(self._shown(kind, found, _listed(request)))

    async def update(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        found = self._find(kind, request.match_info["id"], request.query.get("idProperty"))
        if found is None:
            return self.error(404, "resource not found")
        properties = (await request.json()).get("properties")
        if problem := self._problem(kind, properties, new=False, own=found["id"]):
            return problem
        self._change(kind, found, properties)
        return web.json_response(self._shown(kind, found, list(properties)))

    async def archive(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        if self.objects[kind].pop(request.match_info["id"], None):
            self.effect("archive", type=kind, id=request.match_info["id"])
        return web.Response(status=204)

    async def list_page(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        limit = int(request.query.get("limit", 10))
        if not 1 <= limit <= 100:
            return self.error(400, "limit must be between 1 and 100")
        after = int(request.query.get("after", 0))
        rows = sorted((o for o in self.objects[kind].values() if int(o["id"]) > after), key=lambda o: int(o["id"]))
        page = {"results": [self._shown(kind, o, _listed(request)) for o in rows[:limit]]}
        return web.json_response(page | _paging(rows, limit, rows[limit - 1]["id"] if len(rows) > limit else ""))

    async def search(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        given = await request.json()
        indexed = [o for o in self.objects[kind].values() if time.monotonic() - o["_at"] >= self.index_delay]
        groups = given.get("filterGroups") or []
        try:
            rows = [o for o in indexed if not groups or any(self._matches(kind, o, g["filters"]) for g in groups)]
        except (KeyError, ValueError) as error:
            return self.error(400, f"invalid filter: {error}")
        if text := given.get("query"):
            rows = [o for o in rows if text.lower() in json.dumps(o["properties"]).lower()]
        rows.sort(key=lambda o: int(o["id"]))
        start, limit = int(given.get("after") or 0), int(given.get("limit") or 10)
        page = rows[start : start + limit]
        body = {"total": len(rows), "results": [self._shown(kind, o, given.get("properties")) for o in page]}
        return web.json_response(body | _paging(rows[start:], limit, str(start + limit)))

    async def batch(self, request: web.Request) -> web.Response:
        kind, operation = _kind(request.match_info["type"]), request.match_info["operation"]
        inputs = (await request.json()).get("inputs", [])
        if len(inputs) > 100:
            return self.error(400, "at most 100 inputs")
        results: list[dict[str, Any]] = []
        for item in inputs:
            key = item.get("idProperty")
            found = self._find(kind, item["id"], key) if "id" in item else None
            if operation == "read":
                results += [self._shown(kind, found, None)] if found else []
                continue
            properties = item["properties"] | ({key: item["id"]} if key and not found else {})
            if problem := self._problem(kind, properties, new=found is None, own=found["id"] if found else None):
                return problem
            if found is None:
                made = self._insert(kind, properties, item.get("associations") or [])
                results.append(self._shown(kind, made, None) | {"new": True})
            else:
                self._change(kind, found, properties)
                results.append(self._shown(kind, found, None) | {"new": False})
        now = _now()
        body = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        return web.json_response(body, status=201 if operation == "create" else 200)

    # -- associations and the rest -----------------------------------------------------------------------------------

    async def associate(self, request: web.Request) -> web.Response:
        place = self._place(request)
        if place is None:
            return self.error(404, "resource not found")
        self._link(*place)
        source, source_id, target, target_id = place
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": ASSOCIATION.get((source, target), 1)}
        now = _now()
        result = {"from": {"id": source_id}, "to": {"id": target_id}, "associationSpec": spec}
        return web.json_response({"status": "COMPLETE", "results": [result], "startedAt": now, "completedAt": now})

    async def associate_typed(self, request: web.Request) -> web.Response:
        place = self._place(request)
        if place is None:
            return self.error(404, "resource not found")
        self._link(*place)
        source, source_id, target, target_id = place
        return web.json_response(
            {"fromObjectTypeId": source, "fromObjectId": int(source_id), "toObjectTypeId": target,
             "toObjectId": int(target_id), "labels": []}, status=201,
        )  # fmt: skip

    async def associations(self, request: web.Request) -> web.Response:
        source, target = _kind(request.match_info["from"]), _kind(request.match_info["to"])
        ids = sorted(int(t) for s, i, k, t in self.links if (s, i, k) == (source, request.match_info["fromId"], target))
        kind = {"category": "HUBSPOT_DEFINED", "typeId": ASSOCIATION.get((source, target), 1), "label": None}
        return web.json_response({"results": [{"toObjectId": i, "associationTypes": [kind]} for i in ids]})

    async def dissociate(self, request: web.Request) -> web.Response:
        place = self._place(request)
        if place is not None and place in self.links:
            source, source_id, target, target_id = place
            self.links -= {place, (target, target_id, source, source_id)}
            self.effect("dissociate", link=list(place))
        return web.Response(status=204)

    async def owners(self, request: web.Request) -> web.Response:
        now = "2026-01-02T03:04:05.678Z"
        owner = {"id": "1", "type": "PERSON", "email": "owner@example.com", "firstName": "Olga", "lastName": "Owner",
                 "createdAt": now, "updatedAt": now, "archived": False}  # fmt: skip
        wanted = request.query.get("email")
        return web.json_response({"results": [owner] if wanted in (None, owner["email"]) else []})

    async def pipelines(self, request: web.Request) -> web.Response:
        now = "2026-01-02T03:04:05.678Z"
        times = {"createdAt": now, "updatedAt": now, "archived": False}
        stages = [{"id": s, "label": s.title(), "displayOrder": n, **times} for n, s in enumerate(STAGES)]
        pipe = {"id": "default", "label": "Sales", "displayOrder": 0, "stages": stages, **times}
        return web.json_response({"results": [pipe]})

    async def properties(self, request: web.Request) -> web.Response:
        kind = _kind(request.match_info["type"])
        rows = [{"name": p, "label": p, "type": "string", "fieldType": "text", "groupName": "info", "description": "",
                 "options": []} for p in sorted(PROPERTIES[kind])]  # fmt: skip
        return web.json_response({"results": rows})

    # -- rules -------------------------------------------------------------------------------------------------------

    def _problem(self, kind: str, properties: Any, *, new: bool, own: str | None = None) -> web.Response | None:
        if not isinstance(properties, dict):
            return self.error(400, "properties: must be an object")
        for name in properties:
            if name not in PROPERTIES[kind]:
                return self._invalid(name, f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST")
        for name in REQUIRED.get(kind, ()) if new else ():
            if not properties.get(name):
                return self._invalid(name, f'Property "{name}" is required', "REQUIRED_FIELD")
        if kind == "deals" and properties.get("dealstage", STAGES[0]) not in STAGES:
            return self._invalid("dealstage", "was not one of the allowed options", "INVALID_OPTION")
        if kind != "contacts" or "email" not in properties:
            return None
        email = str(properties["email"]).lower()
        if not EMAIL.match(email):
            return self._invalid("email", f"Email address {email} is invalid", "INVALID_EMAIL")
        other = self._find("contacts", email, "email")
        if other is not None and other["id"] != own:
            return self.error(409, f"Contact already exists. Existing ID: {other['id']}")
        return None

    def _invalid(self, name: str, message: str, code: str) -> web.Response:
        detail = [{"isValid": False, "message": message, "error": code, "name": name}]
        return self.error(400, f"Property values were not valid: {json.dumps(detail)}")

    def _association_problem(self, kind: str, associations: list[dict[str, Any]]) -> web.Response | None:
        for item in associations:
            wanted = [spec["associationTypeId"] for spec in item["types"]]
            target = next((t for (s, t), n in ASSOCIATION.items() if s == kind and n in wanted), None)
            if target is None:
                return self.error(400, f"association type {wanted} is not valid from {kind}")
            if item["to"]["id"] not in self.objects[target]:
                return self.error(404, f"{target} {item['to']['id']} does not exist")
        return None

    def _insert(self, kind: str, properties: dict[str, Any], associations: list[dict[str, Any]]) -> dict[str, Any]:
        number = str(self._next)
        self._next += 1
        now = _now()
        values = {name: None if v is None else str(v) for name, v in properties.items()}
        if values.get("email"):
            values["email"] = str(values["email"]).lower()
        made = {"id": number, "properties": values, "createdAt": now, "updatedAt": now, "_at": time.monotonic()}
        self.objects[kind][number] = made
        self.effect("create", type=kind, id=number, properties=values)
        for item in associations:
            wanted = item["types"][0]["associationTypeId"]
            target = next(t for (s, t), n in ASSOCIATION.items() if s == kind and n == wanted)
            self.links |= {(kind, number, target, item["to"]["id"]), (target, item["to"]["id"], kind, number)}
        return made

    def _change(self, kind: str, found: dict[str, Any], properties: dict[str, Any]) -> None:
        found["properties"] |= {name: None if v is None else str(v) for name, v in properties.items()}
        found["updatedAt"] = _now()
        self.effect("update", type=kind, id=found["id"], properties=properties)

    def _link(self, source: str, source_id: str, target: str, target_id: str) -> None:
        link = (source, source_id, target, target_id)
        if link not in self.links:
            self.links |= {link, (target, target_id, source, source_id)}
            self.effect("associate", link=list(link))

    def _place(self, request: web.Request) -> tuple[str, str, str, str] | None:
        info = request.match_info
        source, target = _kind(info["from"]), _kind(info["to"])
        if info["fromId"] not in self.objects[source] or info["toId"] not in self.objects[target]:
            return None
        return source, info["fromId"], target, info["toId"]

    def _find(self, kind: str, key: str, by: str | None) -> dict[str, Any] | None:
        if by in (None, "hs_object_id"):
            return self.objects[kind].get(key)
        wanted = key.lower()
        return next((o for o in self.objects[kind].values() if _text(o, by) == wanted), None)

    def _matches(self, kind: str, item: dict[str, Any], filters: list[dict[str, Any]]) -> bool:
        return all(self._match(kind, item, f) for f in filters)

    def _match(self, kind: str, item: dict[str, Any], wanted: dict[str, Any]) -> bool:
        name, operator, value = wanted["propertyName"], wanted["operator"], wanted.get("value")
        if name.startswith("associations."):
            target = name.removeprefix("associations.") + "s"
            return (kind, item["id"], target, value) in self.links
        has = item["properties"].get(name)
        match operator:
            case "EQ":
                return has is not None and str(has).lower() == str(value).lower()
            case "NEQ":
                return has is None or str(has).lower() != str(value).lower()
            case "HAS_PROPERTY":
                return has is not None
            case "NOT_HAS_PROPERTY":
                return has is None
            case "IN":
                return has in wanted["values"]
            case "NOT_IN":
                return has not in wanted["values"]
            case "CONTAINS_TOKEN":
                return has is not None and str(value).strip("*").lower() in has.lower()
            case "NOT_CONTAINS_TOKEN":
                return has is None or str(value).strip("*").lower() not in has.lower()
            case "LT" | "LTE" | "GT" | "GTE":
                if has is None:
                    return False
                left, right = float(has), float(str(value))
                return {"LT": left < right, "LTE": left <= right, "GT": left > right, "GTE": left >= right}[operator]
            case "BETWEEN":
                return has is not None and float(str(value)) <= float(has) <= float(wanted["highValue"])
            case _:
                raise ValueError(f"operator {operator}")

    def _shown(self, kind: str, item: dict[str, Any], listed: list[str] | None) -> dict[str, Any]:
        names = listed or DEFAULT_SHOWN[kind]
        properties = {n: item["properties"].get(n) for n in names} | {"hs_object_id": item["id"]}
        return {"id": item["id"], "properties": properties, "createdAt": item["createdAt"],
                "updatedAt": item["updatedAt"], "archived": False}  # fmt: skip


def _text(item: dict[str, Any], name: str) -> str:
    return str(item["properties"].get(name) or "").lower()


def _kind(name: str) -> str:
    kind = TYPES.get(name, name)
    if kind not in PROPERTIES:
        raise web.HTTPNotFound
    return kind


def _listed(request: web.Request) -> list[str] | None:
    given = [part for value in request.query.getall("properties", []) for part in value.split(",")]
    return given or None


def _paging(rows: list[Any], limit: int, after: str) -> dict[str, Any]:
    return {"paging": {"next": {"after": after, "link": f"?after={after}"}}} if len(rows) > limit else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
