"""How n8n checks requests, pages, reads a workflow's nodes and answers webhooks."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import string
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

WEBHOOK = "n8n-nodes-base.webhook"
RESPOND = "n8n-nodes-base.respondToWebhook"
STOP = "n8n-nodes-base.stopAndError"
TRIGGERS = (WEBHOOK, "n8n-nodes-base.cron", "n8n-nodes-base.start")
REQUIRED = ("name", "nodes", "connections", "settings")
OPTIONAL = ("description", "externalId", "nodeGroups", "staticData", "pinData", "shared", "projectId")
READ_ONLY = (
    "id",
    "active",
    "createdAt",
    "updatedAt",
    "isArchived",
    "versionId",
    "triggerCount",
    "meta",
    "tags",
    "activeVersion",
)
PLACE = re.compile(r"\{\{\s*\$json\.([\w.]+)\s*\}\}")
HINT = (
    "The workflow must be active for a production URL to run successfully. You can activate the workflow using the "
    "toggle in the top-right of the editor."
)
TEST_HINT = "Click the 'Execute workflow' button on the canvas, then try again."
Row = dict[str, Any]


def now() -> str:
    """The time as n8n writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """Sixteen letters and digits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(16))


def found(rows: dict[str, Row], request: web.Request) -> Row:
    """The row that the path names; nothing there becomes n8n's 404."""
    row = rows.get(request.match_info["id"])
    if row is None:
        raise web.HTTPNotFound
    return row


def body_problem(given: Any, required: tuple[str, ...] = (), allowed: tuple[str, ...] = ()) -> str | None:
    """What the schema of the request finds wrong with a body."""
    if not isinstance(given, dict):
        return "request/body must be object"
    for name in required:
        if name not in given:
            return f"request/body must have required property '{name}'"
    return "request/body must NOT have additional properties" if given.keys() - {*required, *allowed} else None


def workflow_problem(given: Any) -> str | None:
    """What is wrong with a workflow that somebody sends."""
    if isinstance(given, dict):
        for name in READ_ONLY:
            if name in given:
                return f"request/body/{name} is read-only"
    if problem := body_problem(given, REQUIRED, OPTIONAL):
        return problem
    for name, kind, text in (("nodes", list, "array"), ("connections", dict, "object"), ("settings", dict, "object")):
        if not isinstance(given[name], kind):
            return f"request/body/{name} must be {text}"
    for number, node in enumerate(given["nodes"]):
        if not isinstance(node, dict) or not isinstance(node.get("name"), str) or not isinstance(node.get("type"), str):
            return f"request/body/nodes/{number} must have required property 'type'"
        node.setdefault("parameters", {})
    return None


def page(rows: list[Row], request: web.Request, *, by_id: bool = False) -> tuple[list[Row], str | None]:
    """One page of rows and the cursor to the next.

    Cursors hold an offset, or the id of the last row seen where new rows come first.
    """
    query = request.query
    limit, start, last = query.get("limit", "100"), query.get("offset", "0"), None
    if "cursor" in query:
        try:
            kept = json.loads(base64.b64decode(query["cursor"], validate=True))
            limit, start, last = str(kept["limit"]), str(kept.get("offset", 0)), kept.get("lastId")
        except (binascii.Error, ValueError, KeyError, TypeError, AttributeError):
            raise _bad_request("An invalid cursor was provided") from None
    if not (limit.isdecimal() and 1 <= int(limit) <= 250 and start.isdecimal()):
        raise _bad_request("request/query/limit must be between 1 and 250")
    left = [r for r in rows if last is None or int(r["id"]) < int(last)][int(start) :]
    part, size = left[: int(limit)], int(limit)
    after = (
        {"limit": size, "lastId": part[-1]["id"]} if by_id and part else {"limit": size, "offset": int(start) + size}
    )
    return part, base64.b64encode(json.dumps(after).encode()).decode() if len(left) > size else None


def credential(row: Row) -> Row:
    """A credential without its data, which n8n never gives back."""
    return {k: row[k] for k in ("id", "name", "type", "createdAt", "updatedAt")}


def is_trigger(node: Row) -> bool:
    """Whether a node can start a workflow by itself."""
    off = node.get("disabled") is True
    return not off and (node["type"] in TRIGGERS or node["type"].lower().endswith("trigger"))


def hook_path(node: Row) -> str | None:
    """The path a Webhook node listens at."""
    if node["type"] != WEBHOOK or node.get("disabled") is True:
        return None
    return str(node["parameters"].get("path") or node.get("webhookId") or "").strip("/")


def hook_method(node: Row) -> str:
    """The method a Webhook node listens for."""
    return str(node["parameters"].get("httpMethod", "GET"))


def reached(workflow: Row, start: Row) -> list[Row]:
    """The nodes that an execution from `start` comes to, in order."""
    names, order = {n["name"]: n for n in workflow["nodes"]}, [start["name"]]
    for name in order:
        for branch in (workflow["connections"].get(name) or {}).get("main") or []:
            order += [c["node"] for c in branch or [] if c["node"] in names and c["node"] not in order]
    return [names[name] for name in order]


async def item(request: web.Request) -> Row:
    """What a Webhook node emits."""
    if request.can_read_body and request.content_type == "application/json":
        body = await request.json()
    else:
        body = {key: str(value) for key, value in (await request.post()).items()}
    return {
        "headers": {k.lower(): v for k, v in request.headers.items()},
        "params": {},
        "query": dict(request.query),
        "body": body,
        "webhookUrl": str(request.url.with_query(None)),
        "executionMode": "production",
    }


def responded(nodes: list[Row], json_item: Row) -> web.Response:
    """What the Respond to Webhook node among `nodes` answers."""
    node = next((n for n in nodes if n["type"] == RESPOND), None)
    if node is None:
        return web.json_response({"message": "No Respond to Webhook node found in the workflow"}, status=500)
    given = node["parameters"]
    status = int((given.get("options") or {}).get("responseCode", 200))
    text = PLACE.sub(lambda m: _looked_up(json_item, m[1]), str(given.get("responseBody", "")).removeprefix("="))
    match given.get("respondWith", "firstIncomingItem"):
        case "json":
            return web.Response(text=text, status=status, content_type="application/json")
        case "text":
            return web.Response(text=text, status=status)
        case "noData":
            return web.Response(status=status)
        case _:
            return web.json_response(json_item, status=status)


def unregistered(method: str, path: str, methods: list[str], *, test: bool = False) -> web.Response:
    """The 404 of a webhook that no active workflow listens at, or not with this method."""
    text, hint = f'The requested webhook "{method} {path}" is not registered.', TEST_HINT if test else HINT
    if methods:
        wanted = " or ".join(methods)
        text = f"This webhook is not registered for {method} requests. Did you mean to make a {wanted} request?"
        hint = ""
    return web.json_response({"code": 404, "message": text, "hint": hint}, status=404)


def run_data(row: Row) -> Row:
    """An execution's data: what each node that ran gave on, and the error that ended it."""
    stopped = row["stopped"]
    names = [n["name"] for n in row["reached"]]
    ran = names[: names.index(stopped["name"])] if stopped else names
    result: Row = {"runData": {name: [{"data": {"main": [[{"json": row["item"]}]]}}] for name in ran}}
    if stopped:
        message = stopped["parameters"].get("errorMessage", "An error occurred")
        result["error"] = {"message": message, "node": {"name": stopped["name"], "type": stopped["type"]}}
    return {"resultData": result | {"lastNodeExecuted": stopped["name"] if stopped else names[-1]}}


def _looked_up(values: Any, path: str) -> str:
    for name in path.split("."):
        values = values.get(name, "") if isinstance(values, dict) else ""
    return str(values)


def _bad_request(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"message": message}), content_type="application/json")
