"""The in-house back office of Northwind Home Services: 48 operations, described by `scenarios/northwind.openapi.yaml`.

Four ways in: an API key for most, OAuth2 client credentials for purchasing (tokens expire and have scopes), Basic for
vehicles, a bearer token for time sheets. Errors are problem documents. `Idempotency-Key` is honoured on every POST.

Control beyond the common: POST /_sandbox/expire   every OAuth token issued so far is void from now on
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.vendors import business_input as given
from sandbox.vendors.business_input import Refused
from sandbox.vendors.business_tables import AUTH, ENDPOINTS, RESOURCES, Endpoint, seed
from sandbox.vendors.common import Emulator, Window

API_KEY = "nw-sandbox-key"
CLIENT_ID = "nw-purchasing"
CLIENT_SECRET = "nw-sandbox-secret"
BASIC_USER = "fleet"
BASIC_PASSWORD = "nw-sandbox-password"
BEARER_TOKEN = "nw-sandbox-payroll-token"
SCOPES = ("purchasing:read", "purchasing:write", "purchasing:approve")
TOKEN_SECONDS = 300
ROOT = "/api/v2"
DOCUMENT = Path(__file__).parent.parent / "scenarios" / "northwind.openapi.yaml"
OPEN = ("/oauth/token", "/openapi.yaml")


class Business(Emulator):
    """One company's back office."""

    vendor = "business"
    lasting = ("effects", "rows", "attached", "_last_number")

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        for endpoint in ENDPOINTS:
            self.app.router.add_route(endpoint.method, ROOT + endpoint.path, self._served(endpoint))
        self.app.add_routes(
            [
                web.post("/oauth/token", self.token),
                web.get("/openapi.yaml", self.document),
                web.post("/_sandbox/expire", self._expire),
            ]
        )

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def reset(self) -> None:
        self.rows = seed()
        self.attached: dict[str, list[dict[str, Any]]] = {}
        self._tokens: dict[str, tuple[float, frozenset[str]]] = {}
        self._answered: dict[tuple[str, str], tuple[bytes, web.Response]] = {}
        self._last_number = 1000
        self.window = Window(limit=50, seconds=1)

    def state(self) -> Any:
        return {name: list(rows.values()) for name, rows in self.rows.items()} | {"attached": self.attached}

    def error(self, status: int, message: str, errors: list[str] | None = None) -> web.Response:
        body = {"type": "about:blank", "status": status, "title": message, "errors": errors or []}
        return web.json_response(body, status=status, content_type="application/problem+json")

    def limited(self, request: web.Request) -> web.Response | None:
        if self.window.allows():
            return None
        answer = self.error(429, "too many requests")
        answer.headers["Retry-After"] = "1"
        return answer

    # -- who asks ----------------------------------------------------------------------------------------------------

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.path in OPEN:
            return None
        parts = request.path.removeprefix(ROOT).split("/")
        family = parts[1] if len(parts) > 1 else ""
        if request.method == "GET" and (family == "territories" or request.path.endswith("/price-book/categories")):
            return None
        sent = request.headers.get("Authorization", "")
        match AUTH.get(family):
            case "oauth":
                return self._token_problem(request, sent.removeprefix("Bearer "))
            case "basic":
                secret = base64.b64encode(f"{BASIC_USER}:{BASIC_PASSWORD}".encode()).decode()
                return None if sent == f"Basic {secret}" else self._challenge('Basic realm="fleet"')
            case "bearer":
                return None if sent == f"Bearer {BEARER_TOKEN}" else self._challenge("Bearer")
        return None if request.headers.get("X-Northwind-Key") == API_KEY else self._challenge("ApiKey")

    def _token_problem(self, request: web.Request, token: str) -> web.Response | None:
        until, scopes = self._tokens.get(token, (0.0, frozenset[str]()))
        if time.monotonic() >= until:
            return self._challenge('Bearer error="invalid_token"')
        action = "approve" if request.path.endswith("/approve") else "read" if request.method == "GET" else "write"
        if f"purchasing:{action}" in scopes:
            return None
        return self.error(403, f"the token lacks the scope purchasing:{action}")

    def _challenge(self, how: str) -> web.Response:
        answer = self.error(401, "who are you?")
        answer.headers["WWW-Authenticate"] = how
        return answer

    async def token(self, request: web.Request) -> web.Response:
        """Client credentials by Basic or in the form; a token for the scopes asked for (all when none are)."""
        form = await request.post()
        secret = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        by_form = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if not by_form and request.headers.get("Authorization") != f"Basic {secret}":
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        scopes = str(form.get("scope", "")).split() or list(SCOPES)
        if set(scopes) - set(SCOPES):
            return web.json_response({"error": "invalid_scope"}, status=400)
        token = uuid.uuid4().hex
        self._tokens[token] = (time.monotonic() + TOKEN_SECONDS, frozenset(scopes))
        made = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": " ".join(scopes)}
        return web.json_response(made, headers={"Cache-Control": "no-store"})

    async def document(self, request: web.Request) -> web.Response:
        return web.Response(text=DOCUMENT.read_text(encoding="utf-8"), content_type="application/yaml")

    async def _expire(self, request: web.Request) -> web.Response:
        self._tokens.clear()
        return web.json_response({})

    # -- how an operation is served ----------------------------------------------------------------------------------

    def _served(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        does: Callable[[web.Request, Endpoint, Any], web.Response] = getattr(self, f"_do_{endpoint.does}")

        async def run(request: web.Request) -> web.Response:
            # a multipart body can be read only once
            raw = b"" if request.content_type.startswith("multipart/") else await request.read()
            key = (f"{request.method} {request.path}", request.headers.get("Idempotency-Key", ""))
            if key[1] and key in self._answered:
                return self._again(raw, *self._answered[key])
            try:
                answer = does(request, endpoint, await given.body(request, endpoint.body, endpoint.rule))
            except Refused as refusal:
                return self.error(refusal.status, refusal.message, refusal.errors)
            if key[1] and request.method == "POST":
                self._answered[key] = (raw, answer)
            return answer

        return run

    def _again(self, raw: bytes, first: bytes, answer: web.Response) -> web.Response:
        if raw != first:
            return self.error(422, "this Idempotency-Key was used with another body")
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={"Idempotent-Replayed": "true"},
            content_type=answer.content_type,
        )

    # -- operations on any resource ----------------------------------------------------------------------------------

    def _do_list(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        resource = RESOURCES[endpoint.family]
        rows = [_shown(r) for r in given.wanted(list(self.rows[endpoint.family].values()), resource, request)]
        if request.query.get("sort"):
            name = request.query["sort"].lstrip("-")
            rows.sort(key=lambda row: str(row.get(name, "")), reverse=request.query["sort"].startswith("-"))
        match resource.paging:
            case "bare":
                return web.json_response(rows, headers={"X-Total-Count": str(len(rows))})
            case "cursor":
                return self._by_cursor(request, rows)
        size, number = given.whole(request, "per_page", 20, 100), given.whole(request, "page", 1, 10_000)
        part = rows[(number - 1) * size : number * size]
        after = number + 1 if len(rows) > number * size else None
        page = {"number": number, "size": size, "total": len(rows), "next": after}
        return web.json_response({"data": part, "page": page})

    def _by_cursor(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        size, after = given.whole(request, "limit", 20, 100), request.query.get("cursor", "")
        ids = [base64.urlsafe_b64encode(row["id"].encode()).decode() for row in rows]
        if after and after not in ids:
            raise Refused(400, "unknown cursor")
        start = ids.index(after) + 1 if after else 0
        cursor = ids[start + size - 1] if len(rows) > start + size else None
        return web.json_response({"orders": rows[start : start + size], "next_cursor": cursor})

    def _do_create(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        made = self._insert(request, endpoint, body)
        status = 202 if endpoint.family == "inspection-reports" else 201
        where = f"{ROOT}/{endpoint.family}/{made[RESOURCES[endpoint.family].key]}"
        return web.json_response(made, status=status, headers={"Location": where})

    def _do_create_many(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        return web.json_response([self._insert(request, endpoint, item) for item in body], status=201)

    def _do_read(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        row = self._row(request, endpoint)
        return web.json_response(_shown(row), headers={"ETag": f'"{row["version"]}"'})

    def _do_several(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        ids = request.match_info["ids"].lstrip(".").split(endpoint.child)
        if missing := [i for i in ids if i not in self.rows[endpoint.family]]:
            raise Refused(404, f"there is no {', '.join(missing)}")
        return web.json_response({"data": [self.rows[endpoint.family][i] for i in ids]})

    def _do_change(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        return self._written(self._row(request, endpoint), endpoint, "change", body)

    def _do_replace(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        row = self._row(request, endpoint)
        if request.headers.get("If-Match", f'"{row["version"]}"') != f'"{row["version"]}"':
            raise Refused(412, "somebody changed it meanwhile")
        for name in row.keys() - {"id", "status", "version", "created_at"} - body.keys():
            del row[name]
        return self._written(row, endpoint, "replace", body)

    def _do_set_field(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        value = body.split() if isinstance(body, str) else body
        return self._written(self._row(request, endpoint), endpoint, f"set_{endpoint.child}", {endpoint.child: value})

    def _do_remove(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        row = self._row(request, endpoint)
        self._require(row, endpoint)
        del self.rows[endpoint.family][row["id"]]
        self.effect(f"{endpoint.family}.remove", id=row["id"])
        return web.Response(status=204)

    def _do_act(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        row = self._row(request, endpoint)
        self._require(row, endpoint)
        if body and body.get("orderId", row["id"]) != row["id"]:
            raise Refused(422, "orderId is another order's")
        more = {k: v for k, v in (body or {}).items() if k != "orderId"} | {"status": endpoint.moves[1]}
        return self._written(row, endpoint, endpoint.path.rsplit("/", 1)[1], more)

    def _do_children(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        return web.json_response(self._attached(self._row(request, endpoint), endpoint))

    def _do_add(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        row = self._row(request, endpoint)
        made = {"id": str(self._number()), "at": _now()} | (body if isinstance(body, dict) else {"text": body})
        self._attached(row, endpoint).append(made)
        self.effect(f"{endpoint.family}.add_{endpoint.child}", id=row[RESOURCES[endpoint.family].key], what=made)
        return web.json_response(made, status=201)

    # -- operations of one family ------------------------------------------------------------------------------------

    def _do_adjust(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        item = self._row(request, endpoint)
        if item["on_hand"] + body["quantity"] < 0:
            raise Refused(409, f"only {item['on_hand']} on hand")
        item["on_hand"] += body["quantity"]
        return self._do_add(request, endpoint, body)

    def _do_tree(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        return web.json_response({"data": list(self.rows["price-book"].values())})

    def _do_grow(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        made = self._branch(body)
        self.rows["price-book"][made["id"]] = made
        self.effect("price-book.create", id=made["id"], name=made["name"])
        return web.json_response(made, status=201)

    def _do_regrow(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        wanted = request.match_info["id"]
        found = next((c for c in _all_of(self.rows["price-book"].values()) if c["id"] == wanted), None)
        if found is None:
            raise Refused(404, f"there is no {wanted}")
        grown = self._branch(body) | {"id": wanted}
        found.clear()
        found.update(grown)
        self.effect("price-book.replace", id=wanted, name=grown["name"])
        return web.json_response(found)

    def _branch(self, body: dict[str, Any]) -> dict[str, Any]:
        children = [self._branch(child) for child in body.get("children", [])]
        made = {"id": f"CAT-{self._number()}", "name": body["name"], "markup": body.get("markup")}
        return made | {"children": children}

    def _do_price(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        item = self.rows["items"].get(request.match_info["sku"])
        if item is None:
            raise Refused(404, "there is no such item")
        return web.Response(text=f"{item['unit_price']:.2f}", headers={"Deprecation": "true"})

    def _do_near(self, request: web.Request, endpoint: Endpoint, body: Any) -> web.Response:
        here = given.matrix(request.match_info["point"])
        try:
            lat, lng = float(here["lat"]), float(here["lng"])
        except (KeyError, ValueError):
            raise Refused(400, "the point is ;lat=…;lng=…") from None
        where = [
            (math.dist((lat, lng), (v["position"]["lat"], v["position"]["lng"])), v)
            for v in self.rows["vehicles"].values()
            if "position" in v
        ]
        return web.json_response([v for _, v in sorted(where, key=lambda pair: pair[0])])

    # -- common steps ------------------------------------------------------------------------------------------------

    def _insert(self, request: web.Request, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        resource = RESOURCES[endpoint.family]
        row = {"id": f"{resource.prefix}{self._number()}"} if resource.key == "id" else {}
        row |= ({"status": resource.first} if resource.first else {}) | body | {"version": 1, "created_at": _now()}
        row |= {"region": request.cookies.get("nw_region", "midwest")} if endpoint.family == "warranties" else {}
        row |= {"on_hand": body.get("on_hand", 0)} if endpoint.family == "items" else {}
        if row[resource.key] in self.rows[endpoint.family]:
            raise Refused(409, f"{row[resource.key]} exists")
        self.rows[endpoint.family][row[resource.key]] = row
        self.effect(f"{endpoint.family}.create", id=row[resource.key], digest=_digest(body))
        return _shown(row)

    def _row(self, request: web.Request, endpoint: Endpoint) -> dict[str, Any]:
        found = self.rows[endpoint.family].get(request.match_info["id"])
        if found is None:
            raise Refused(404, f"there is no {request.match_info['id']}")
        return found

    def _require(self, row: dict[str, Any], endpoint: Endpoint) -> None:
        if row["status"] not in endpoint.moves[0]:
            raise Refused(409, f"{row['id']} is {row['status']}")

    def _written(self, row: dict[str, Any], endpoint: Endpoint, how: str, values: dict[str, Any]) -> web.Response:
        row |= values | {"version": row["version"] + 1}
        self.effect(f"{endpoint.family}.{how}", id=row[RESOURCES[endpoint.family].key], fields=sorted(values))
        return web.json_response(_shown(row), headers={"ETag": f'"{row["version"]}"'})

    def _attached(self, row: dict[str, Any], endpoint: Endpoint) -> list[dict[str, Any]]:
        return self.attached.setdefault(f"{row[RESOURCES[endpoint.family].key]}/{endpoint.child}", [])


def _all_of(categories: Any) -> Any:
    for category in categories:
        yield category
        yield from _all_of(category["children"])


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "pin"}


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
