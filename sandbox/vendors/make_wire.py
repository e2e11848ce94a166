"""How Make pages and filters, reads blueprints, and shows the account, which never changes here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

ZONE = "eu1.make.com"
ORGANIZATION_ID = 11
TEAM_ID = 4
TEAM = {"id": TEAM_ID, "name": "Sandbox team", "organizationId": ORGANIZATION_ID}
USER = {"id": 7, "name": "Sandbox", "email": "sandbox@example.com"}
PLACE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
Row = dict[str, Any]


def account_routes(api_limit: int, operations: Callable[[], int]) -> list[web.RouteDef]:
    """Organizations, teams and the user."""

    async def organizations(request: web.Request) -> web.Response:
        part, pg = page([{"id": ORGANIZATION_ID, "name": "Sandbox", "timezoneId": 113}], request, "name")
        return web.json_response({"organizations": part, "pg": pg})

    async def organization(request: web.Request) -> web.Response:
        seen = {
            "id": ORGANIZATION_ID,
            "name": "Sandbox",
            "zone": ZONE,
            "timezoneId": 113,
            "countryId": 1,
            "isPaused": False,
            "operations": str(operations()),
            "transfer": "0",
            "serviceName": "default",
            "license": {"apiLimit": api_limit, "operations": 10000, "users": 50, "interval": 1},
            "teams": [{"id": TEAM_ID, "name": TEAM["name"]}],
        }
        return web.json_response({"organization": seen})

    async def teams(request: web.Request) -> web.Response:
        mine = request.query.get("organizationId") == str(ORGANIZATION_ID)
        part, pg = page([TEAM] if mine else [], request, "name")
        return web.json_response({"teams": part, "pg": pg})

    async def team(request: web.Request) -> web.Response:
        return web.json_response({"team": TEAM | {"scenarioDrafts": False}})

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"authUser": USER | {"language": "en", "timezone": "Europe/Prague", "localeId": 18}})

    return [
        web.get("/api/v2/organizations", organizations),
        web.get(f"/api/v2/organizations/{ORGANIZATION_ID}", organization),
        web.get("/api/v2/teams", teams),
        web.get(f"/api/v2/teams/{TEAM_ID}", team),
        web.get("/api/v2/users/me", me),
    ]


def now() -> str:
    """The time as Make writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed(text: str) -> Row | None:
    """The object in a string of JSON; None for anything else."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def or_404(found: Row | None) -> Row:
    """What was found; nothing found becomes Make's 404."""
    if found is None:
        raise web.HTTPNotFound
    return found


def keeps_incomplete(scenario: Row) -> bool:
    """Whether executions that fail are stored to be retried."""
    return bool(((scenario["blueprint"].get("metadata") or {}).get("scenario") or {}).get("dlq"))


def hook_of(scenario: Row) -> int | None:
    """The hook whose calls start a scenario."""
    first: Row = next(iter(scenario["blueprint"].get("flow") or []), {})
    return (first.get("parameters") or {}).get("hook") if first.get("module") == "gateway:CustomWebHook" else None


def filled(mapper: Row, values: Row) -> Row:
    """A module's mapper with its places filled in; what is not there is empty."""

    def look_up(place: re.Match[str]) -> str:
        found: Any = values
        for name in place[1].split("."):
            found = found.get(name, "") if isinstance(found, dict) else ""
        return str(found)

    return {key: PLACE.sub(look_up, value) if isinstance(value, str) else value for key, value in mapper.items()}


def columns(row: Row, request: web.Request) -> Row:
    """Only the columns that `cols[]` asks for."""
    wanted = request.query.getall("cols[]", [])
    return {key: row[key] for key in wanted if key in row} if wanted else row


def log(row: Row) -> Row:
    """An execution as the log shows it."""
    shown = {
        k: row[k] for k in ("imtId", "duration", "operations", "teamId", "id", "type", "instant", "timestamp", "status")
    }
    return shown | {
        "centicredits": row["operations"] * 100,
        "transfer": 0,
        "organizationId": ORGANIZATION_ID,
        "authorId": USER["id"] if row["type"] == "manual" else None,
    }


def page(rows: list[Row], request: web.Request, usual: str) -> tuple[list[Row], Row]:
    """The rows that `pg[...]` asks for, sorted, and the `pg` of the answer."""
    query = request.query
    limit, offset = whole(request, "pg[limit]", 50), whole(request, "pg[offset]", 0)
    key, order = query.get("pg[sortBy]", usual), query.get("pg[sortDir]", "asc")
    ordered = sorted(rows, key=lambda r: (str(type(r.get(key))), r.get(key)), reverse=order == "desc")
    return ordered[offset : offset + limit], {"sortBy": key, "sortDir": order, "limit": limit, "offset": offset}


def whole(request: web.Request, name: str, usual: int) -> int:
    """A whole number from the query."""
    text = request.query.get(name, str(usual))
    if not text.isdecimal():
        problem = {"message": f"Invalid value in parameter '{name}'."}
        body = {"detail": problem["message"], "message": problem["message"], "code": "SC400", "suberrors": [problem]}
        raise web.HTTPBadRequest(text=json.dumps(body), content_type="application/json")
    return int(text)
