"""n8n's public API v1: workflows, executions, credentials, tags, variables; webhooks of active workflows run them.

A workflow runs from its Webhook node along `connections`. A Stop and Error node fails the execution, a Respond to Webhook
node answers when the Webhook node asks for it; `{{ $json.body.name }}` reads what came in. Other nodes pass their item on.
n8n documents no rate limits, so none apply here; 429 comes as a fault.

    POST /_sandbox/outcomes   {"workflowId", "message"}   that workflow's next run fails at its last node with this message
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from aiohttp import web

from sandbox.vendors import n8n_wire as wire
from sandbox.vendors.common import Emulator

API_KEY = "eyJhbGciOiJIUzI1NiJ9.sandbox.5a5a5a5a5a5a"
PROJECT_ID = "5aNd80xPr0ject01"
Row = wire.Row


class N8n(Emulator):
    """One instance with one project. The API is under /api/v1, production webhooks under /webhook."""

    vendor = "n8n"
    lasting = ("effects", "workflows", "executions", "credentials", "tags", "variables", "outcomes", "_executed")

    def __init__(self, *, run_seconds: float = 0.2) -> None:
        super().__init__()
        self.run_seconds = run_seconds
        self.reset()
        base = "/api/v1"
        self.app.add_routes(
            [
                *self._workflow_routes(base + "/workflows"),
                web.get(base + "/executions", self.list_executions),
                web.get(base + "/executions/{id}", self.read_execution),
                web.delete(base + "/executions/{id}", self.delete_execution),
                web.post(base + "/executions/{id}/retry", self.retry),
                web.get(base + "/credentials", self.list_credentials),
                web.post(base + "/credentials", self.create_credential),
                web.get(base + "/credentials/{id}", self.read_credential),
                web.patch(base + "/credentials/{id}", self.update_credential),
                web.delete(base + "/credentials/{id}", self.delete_credential),
                web.get(base + "/tags", self.list_tags),
                web.post(base + "/tags", self.create_tag),
                web.get(base + "/tags/{id}", self.read_tag),
                web.put(base + "/tags/{id}", self.update_tag),
                web.delete(base + "/tags/{id}", self.delete_tag),
                web.get(base + "/variables", self.list_variables),
                web.post(base + "/variables", self.create_variable),
                web.put(base + "/variables/{id}", self.update_variable),
                web.delete(base + "/variables/{id}", self.delete_variable),
                web.post("/_sandbox/outcomes", self.set_outcome),
                web.route("*", "/webhook/{path:.+}", self.called),
                web.route("*", "/webhook-test/{path:.+}", self.called_for_test),
            ]
        )

    def _workflow_routes(self, base: str) -> list[web.RouteDef]:
        one = base + "/{id}"
        return [
            web.get(base, self.list_workflows),
            web.post(base, self.create_workflow),
            web.get(one, self.read_workflow),
            web.put(one, self.replace_workflow),
            web.delete(one, self.delete_workflow),
            web.post(one + "/{to:activate|publish}", self.activate),
            web.post(one + "/{to:deactivate|unpublish}", self.deactivate),
            web.get(one + "/tags", self.workflow_tags),
            web.put(one + "/tags", self.set_workflow_tags),
        ]

    def reset(self) -> None:
        self.workflows: dict[str, Row] = {}
        self.executions: dict[str, Row] = {}
        self.credentials: dict[str, Row] = {}
        self.tags: dict[str, Row] = {}
        self.variables: dict[str, Row] = {}
        self.outcomes: list[Row] = []
        self._executed = 0

    def state(self) -> Any:
        return {
            "workflows": [self._workflow(w) for w in self.workflows.values()],
            "executions": [self._execution(e, full=True) for e in self.executions.values()],
            "credentials": [wire.credential(c) for c in self.credentials.values()],
            "tags": list(self.tags.values()),
            "variables": list(self.variables.values()),
        }

    def unauthorized(self, request: web.Request) -> web.Response | None:
        open_to_all = request.path.startswith(("/webhook/", "/webhook-test/"))
        if open_to_all or request.headers.get("X-N8N-API-KEY") == API_KEY:
            return None
        missing = "X-N8N-API-KEY" not in request.headers
        return self.error(401, "'X-N8N-API-KEY' header required" if missing else "unauthorized")

    def error(self, status: int, message: str) -> web.Response:
        texts = {404: "Not Found" if message == "not found" else message, 500: "Internal server error"}
        return web.json_response({"message": texts.get(status, message)}, status=status)

    # -- workflows ---------------------------------------------------------------------------------------------------

    async def list_workflows(self, request: web.Request) -> web.Response:
        query = request.query
        tags = {t.strip() for t in query.get("tags", "").split(",") if t.strip()}
        rows = [
            w
            for w in self.workflows.values()
            if query.get("active") in (None, str(w["active"]).lower())
            and query.get("name") in (None, w["name"])
            and query.get("projectId") in (None, PROJECT_ID)
            and tags <= {self.tags[t]["name"] for t in w["tags"]}
        ]
        part, cursor = wire.page(rows, request)
        hidden = ("pinData",) if query.get("excludePinnedData") == "true" else ()
        shown: list[Row] = [{k: v for k, v in self._workflow(w).items() if k not in hidden} for w in part]
        return web.json_response({"data": shown, "nextCursor": cursor})

    async def create_workflow(self, request: web.Request) -> web.Response:
        given = await request.json()
        if problem := wire.workflow_problem(given):
            return self.error(400, problem)
        made: Row = {
            "id": wire.new_id(),
            "active": False,
            "isArchived": False,
            "tags": [],
            "staticData": None,
            "meta": None,
            "pinData": {},
            "createdAt": wire.now(),
        }
        self.workflows[made["id"]] = made
        self._set(made, given)
        self.effect("create_workflow", id=made["id"], name=made["name"])
        return web.json_response(self._workflow(made))

    async def read_workflow(self, request: web.Request) -> web.Response:
        return web.json_response(self._workflow(wire.found(self.workflows, request)))

    async def replace_workflow(self, request: web.Request) -> web.Response:
        found, given = wire.found(self.workflows, request), await request.json()
        if problem := wire.workflow_problem(given):
            return self.error(400, problem)
        if found["active"] and (problem := self._clash(found, given["nodes"])):
            return self.error(409, problem)
        self._set(found, given)
        self.effect("update_workflow", id=found["id"], name=found["name"])
        return web.json_response(self._workflow(found))

    async def delete_workflow(self, request: web.Request) -> web.Response:
        found = wire.found(self.workflows, request)
        shown = self._workflow(found)
        del self.workflows[found["id"]]
        self.executions = {k: e for k, e in self.executions.items() if e["workflowId"] != found["id"]}
        self.effect("delete_workflow", id=found["id"])
        return web.json_response(shown)

    async def activate(self, request: web.Request) -> web.Response:
        found = wire.found(self.workflows, request)
        if not any(wire.is_trigger(n) for n in found["nodes"]):
            text = (
                f'Workflow "{found["name"]}" (ID: "{found["id"]}") has no node to start the workflow - '
                "at least one trigger, poller or webhook node is required"
            )
            return self.error(400, text)
        if problem := self._clash(found, found["nodes"]):
            return self.error(409, problem)
        return self._switch(found, active=True)

    async def deactivate(self, request: web.Request) -> web.Response:
        return self._switch(wire.found(self.workflows, request), active=False)

    async def workflow_tags(self, request: web.Request) -> web.Response:
        return web.json_response(self._workflow(wire.found(self.workflows, request))["tags"])

    async def set_workflow_tags(self, request: web.Request) -> web.Response:
        found = wire.found(self.workflows, request)
        ids = [t["id"] for t in await request.json()]
        if not set(ids) <= self.tags.keys():
            return self.error(404, "Some tags not found")
        found["tags"] = ids
        self.effect("tag_workflow", id=found["id"], tags=ids)
        return web.json_response(self._workflow(found)["tags"])

    # -- webhooks and executions -------------------------------------------------------------------------------------

    async def called(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        hooks = [
            (w, n) for w in self.workflows.values() if w["active"] for n in w["nodes"] if wire.hook_path(n) == path
        ]
        chosen = next(((w, n) for w, n in hooks if wire.hook_method(n) == request.method), None)
        if chosen is None:
            return wire.unregistered(request.method, path, [wire.hook_method(n) for _, n in hooks])
        workflow, node = chosen
        if not self._admitted(request, node):
            return web.Response(text="Authorization data is wrong!", status=403)
        item = await wire.item(request)
        made = self._execute(workflow, node, item, "webhook")
        mode = node["parameters"].get("responseMode", "onReceived")
        if mode == "onReceived":
            return web.json_response({"message": "Workflow was started"})
        await self.clock.sleep(self.run_seconds)
        if made["outcome"] == "error":
            return web.json_response({"message": "Error in workflow"}, status=500)
        if mode == "responseNode":
            return wire.responded(made["reached"], item)
        return web.json_response(item)

    async def called_for_test(self, request: web.Request) -> web.Response:
        return wire.unregistered(request.method, request.match_info["path"], [], test=True)

    async def list_executions(self, request: web.Request) -> web.Response:
        query, full = request.query, request.query.get("includeData") == "true"
        rows = [(e, self._execution(e, full=full)) for e in reversed(self.executions.values())]
        # As there: executions still running are listed only when asked for.
        rows = [
            (e, s)
            for e, s in rows
            if s["status"] == query.get("status", s["status"])
            and (s["status"] != "running" or "status" in query)
            and query.get("workflowId") in (None, s["workflowId"])
            and query.get("startedAfter", "") <= s["startedAt"] <= query.get("startedBefore", "~")
        ]
        part, cursor = wire.page([s for _, s in rows], request, by_id=True)
        return web.json_response({"data": part, "nextCursor": cursor})

    async def read_execution(self, request: web.Request) -> web.Response:
        found = wire.found(self.executions, request)
        return web.json_response(self._execution(found, full=request.query.get("includeData") == "true"))

    async def delete_execution(self, request: web.Request) -> web.Response:
        found = wire.found(self.executions, request)
        shown = self._execution(found, full=False)
        if shown["status"] == "running":
            return self.error(400, "Cannot delete a running execution")
        del self.executions[found["id"]]
        self.effect("delete_execution", id=found["id"])
        return web.json_response(shown)

    async def retry(self, request: web.Request) -> web.Response:
        found = wire.found(self.executions, request)
        given = await request.json() if request.can_read_body else {}
        if self._execution(found, full=False)["status"] != "error":
            return self.error(409, "The execution succeeded, so it cannot be retried.")
        current = self.workflows.get(found["workflowId"])
        workflow = current if given.get("loadWorkflow") and current else found["workflow"]
        nodes = [n for n in workflow["nodes"] if n["name"] == found["node"]]
        if not nodes:
            return self.error(409, "The node that started the execution is gone.")
        made = self._execute(workflow, nodes[0], found["item"], "retry")
        made["retryOf"] = found["id"]
        if made["outcome"] == "success":
            found["retrySuccessId"] = made["id"]
        return web.json_response(self._execution(made, full=True))

    def _execute(self, workflow: Row, node: Row, item: Row, mode: str) -> Row:
        self._executed += 1
        reached = wire.reached(workflow, node)
        failed = next((n for n in reached if n["type"] == wire.STOP), None) or self._failing(workflow, reached)
        frozen = {k: workflow[k] for k in ("id", "name", "nodes", "connections", "settings")}
        made = {
            "id": str(self._executed),
            "workflowId": workflow["id"],
            "workflow": frozen,
            "node": node["name"],
            "item": item,
            "mode": mode,
            "startedAt": wire.now(),
            "at": self.clock.now(),
            "reached": reached,
            "outcome": "error" if failed else "success",
            "retryOf": None,
            "retrySuccessId": None,
            "stopped": failed,
            "versionId": workflow.get("versionId"),
        }
        self.executions[made["id"]] = made
        self.effect(
            "run", id=made["id"], workflowId=workflow["id"], mode=mode, outcome=made["outcome"], body=item["body"]
        )
        return made

    def _failing(self, workflow: Row, reached: list[Row]) -> Row | None:
        """The last node, where this run is to fail there."""
        outcome = next((one for one in self.outcomes if one["workflowId"] == workflow["id"]), None)
        if outcome is None:
            return None
        self.outcomes.remove(outcome)
        return reached[-1] | {"parameters": reached[-1]["parameters"] | {"errorMessage": outcome["message"]}}

    async def set_outcome(self, request: web.Request) -> web.Response:
        self.outcomes.append(await request.json())
        return web.json_response({"outcomes": len(self.outcomes)})

    def _admitted(self, request: web.Request, node: Row) -> bool:
        if node["parameters"].get("authentication", "none") != "headerAuth":
            return True
        used = ((node.get("credentials") or {}).get("httpHeaderAuth") or {}).get("id")
        data = self.credentials.get(str(used), {}).get("data", {})
        return bool(data) and request.headers.get(data.get("name", "")) == data.get("value")

    # -- credentials, tags, variables --------------------------------------------------------------------------------

    async def list_credentials(self, request: web.Request) -> web.Response:
        part, cursor = wire.page([wire.credential(c) for c in self.credentials.values()], request)
        return web.json_response({"data": part, "nextCursor": cursor})

    async def create_credential(self, request: web.Request) -> web.Response:
        given = await request.json()
        if problem := wire.body_problem(
            given, required=("name", "type", "data"), allowed=("projectId", "isResolvable")
        ):
            return self.error(400, problem)
        made = {"id": wire.new_id(), "name": given["name"], "type": given["type"], "data": given["data"]}
        made |= {"createdAt": wire.now(), "updatedAt": wire.now()}
        self.credentials[made["id"]] = made
        self.effect("create_credential", id=made["id"], name=made["name"])
        return web.json_response(wire.credential(made))

    async def read_credential(self, request: web.Request) -> web.Response:
        return web.json_response(wire.credential(wire.found(self.credentials, request)))

    async def update_credential(self, request: web.Request) -> web.Response:
        found, given = wire.found(self.credentials, request), await request.json()
        if problem := wire.body_problem(given, allowed=("name", "type", "data", "isPartialData")):
            return self.error(400, problem)
        found |= {k: given[k] for k in ("name", "type", "data") if k in given} | {"updatedAt": wire.now()}
        self.effect("update_credential", id=found["id"], fields=sorted(given))
        return web.json_response(wire.credential(found))

    async def delete_credential(self, request: web.Request) -> web.Response:
        return web.json_response(wire.credential(self._removed("credential", self.credentials, request)))

    async def list_tags(self, request: web.Request) -> web.Response:
        part, cursor = wire.page(list(self.tags.values()), request)
        return web.json_response({"data": part, "nextCursor": cursor})

    async def create_tag(self, request: web.Request) -> web.Response:
        given = await request.json()
        if problem := wire.body_problem(given, required=("name",)):
            return self.error(400, problem)
        if any(t["name"] == given["name"] for t in self.tags.values()):
            return self.error(409, "Tag already exists")
        made = {"id": wire.new_id(), "name": given["name"], "createdAt": wire.now(), "updatedAt": wire.now()}
        self.tags[made["id"]] = made
        self.effect("create_tag", id=made["id"], name=made["name"])
        return web.json_response(made, status=201)

    async def read_tag(self, request: web.Request) -> web.Response:
        return web.json_response(wire.found(self.tags, request))

    async def update_tag(self, request: web.Request) -> web.Response:
        found, given = wire.found(self.tags, request), await request.json()
        if problem := wire.body_problem(given, required=("name",)):
            return self.error(400, problem)
        if any(t["name"] == given["name"] and t is not found for t in self.tags.values()):
            return self.error(409, "Tag already exists")
        found |= {"name": given["name"], "updatedAt": wire.now()}
        self.effect("update_tag", id=found["id"], name=found["name"])
        return web.json_response(found)

    async def delete_tag(self, request: web.Request) -> web.Response:
        gone = self._removed("tag", self.tags, request)
        for workflow in self.workflows.values():
            workflow["tags"] = [t for t in workflow["tags"] if t != gone["id"]]
        return web.json_response(gone)

    async def list_variables(self, request: web.Request) -> web.Response:
        part, cursor = wire.page(list(self.variables.values()), request)
        return web.json_response({"data": part, "nextCursor": cursor})

    async def create_variable(self, request: web.Request) -> web.Response:
        given = await request.json()
        if problem := wire.body_problem(given, required=("key", "value"), allowed=("projectId",)):
            return self.error(400, problem)
        made = {"id": wire.new_id(), "key": given["key"], "value": given["value"], "type": "string"}
        self.variables[made["id"]] = made
        self.effect("create_variable", id=made["id"], key=made["key"])
        return web.Response(status=201)

    async def update_variable(self, request: web.Request) -> web.Response:
        found, given = wire.found(self.variables, request), await request.json()
        if problem := wire.body_problem(given, required=("key", "value"), allowed=("projectId",)):
            return self.error(400, problem)
        found |= {"key": given["key"], "value": given["value"]}
        self.effect("update_variable", id=found["id"], key=found["key"])
        return web.Response(status=204)

    async def delete_variable(self, request: web.Request) -> web.Response:
        self._removed("variable", self.variables, request)
        return web.Response(status=204)

    # -- shared ------------------------------------------------------------------------------------------------------

    def _set(self, workflow: Row, given: Row) -> None:
        workflow |= given | {"updatedAt": wire.now(), "versionId": str(uuid.uuid4())}

    def _switch(self, workflow: Row, *, active: bool) -> web.Response:
        if workflow["active"] != active:
            workflow |= {"active": active, "updatedAt": wire.now()}
            self.effect("activate" if active else "deactivate", id=workflow["id"])
        return web.json_response(self._workflow(workflow))

    def _clash(self, workflow: Row, nodes: list[Row]) -> str | None:
        """Why these webhooks cannot be registered: another active workflow has the same method and path."""
        taken = {
            (wire.hook_method(n), wire.hook_path(n))
            for w in self.workflows.values()
            if w["active"] and w is not workflow
            for n in w["nodes"]
            if wire.hook_path(n) is not None
        }
        wanted = {(wire.hook_method(n), wire.hook_path(n)) for n in nodes if wire.hook_path(n) is not None}
        return "There is a conflict with one of the webhooks." if taken & wanted else None

    def _removed(self, kind: str, rows: dict[str, Row], request: web.Request) -> Row:
        gone = rows.pop(wire.found(rows, request)["id"])
        self.effect(f"delete_{kind}", id=gone["id"])
        return gone

    def _workflow(self, row: Row) -> Row:
        version = (
            {
                "versionId": row["versionId"],
                "workflowId": row["id"],
                "nodes": row["nodes"],
                "connections": row["connections"],
            }
            if row["active"]
            else None
        )
        triggers = sum(wire.is_trigger(n) for n in row["nodes"]) if row["active"] else 0
        return row | {
            "tags": [self.tags[str(t)] for t in row["tags"]],
            "triggerCount": triggers,
            "activeVersion": version,
        }

    def _execution(self, row: Row, *, full: bool) -> Row:
        running = self.clock.now() - row["at"] < self.run_seconds * 0.9
        status = "running" if running else row["outcome"]
        shown = {k: row[k] for k in ("id", "workflowId", "mode", "startedAt", "retryOf", "retrySuccessId")}
        shown |= {
            "status": status,
            "finished": status == "success",
            "createdAt": row["startedAt"],
            "waitTill": None,
            "stoppedAt": None if running else row["startedAt"],
            "deletedAt": None,
            "storedAt": "db",
            "tracingContext": None,
            "deduplicationKey": None,
            "usedPrivateCredentials": False,
            "jsonSizeBytes": len(json.dumps(row["item"])),
            "binaryDataSizeBytes": 0,
            "workflowVersionId": row["versionId"],
        }
        if full:
            shown |= {"data": wire.run_data(row), "workflowData": row["workflow"], "customData": {}}
        return shown
