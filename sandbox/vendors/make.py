"""Make: scenarios that run when asked or when their hook is called, executions, incomplete executions, hooks.

A scenario runs by its blueprint: the hook of a first module `gateway:CustomWebHook` triggers it, `scenario-service:ReturnData`
gives its outputs, `gateway:WebhookRespond` answers the hook's caller; values are `{{var.input.name}}` or `{{1.name}}`.

Control beyond common.py and webhooks.py (which shows what was sent to callback URLs):

    POST /_sandbox/outcomes   {"scenarioId", "status": 2 | 3, "reason"?}   how that scenario's next execution ends
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from aiohttp import web

from sandbox.vendors import make_wire as wire
from sandbox.vendors.common import Emulator, Window
from sandbox.vendors.webhooks import Receiver, Webhooks

API_KEY = "5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a"
ZONE, ORGANIZATION_ID, TEAM_ID = wire.ZONE, wire.ORGANIZATION_ID, wire.TEAM_ID
STATES = {1: "SUCCESS", 2: "WARNING", 3: "ERROR"}
Row = wire.Row


class Make(Emulator):
    """One organization in one zone, with one team. Hooks live on the same port, under /hook/."""

    vendor = "make"
    lasting = ("effects", "scenarios", "hooks", "executions", "incomplete", "outcomes", "_next")

    def __init__(self, *, api_limit: int = 240, hook_limit: int = 30, run_seconds: float = 0.2) -> None:
        super().__init__()
        self.api_limit, self.hook_limit, self.run_seconds = api_limit, hook_limit, run_seconds
        self.webhooks = Webhooks(lambda url, body: {})
        self.reset()
        self.webhooks.add_routes(self.app)
        self.app.add_routes(
            [
                web.post("/_sandbox/outcomes", self._set_outcome),
                web.route("*", "/hook/{udid}", self.called),
                *self._scenario_routes("/api/v2/scenarios"),
                *self._hook_routes("/api/v2/hooks"),
                web.get("/api/v2/dlqs", self.list_incomplete),
                web.post("/api/v2/dlqs/{id}/retry", self.retry_incomplete),
                *wire.account_routes(self.api_limit, lambda: sum(s["operations"] for s in self.scenarios.values())),
            ]
        )

    def _scenario_routes(self, base: str) -> list[web.RouteDef]:
        one = base + "/{id:\\d+}"
        return [
            web.get(base, self.list_scenarios),
            web.post(base, self.create_scenario),
            web.get(one, self.read_scenario),
            web.patch(one, self.update_scenario),
            web.delete(one, self.delete_scenario),
            web.post(one + "/start", self.start_scenario),
            web.post(one + "/stop", self.stop_scenario),
            web.post(one + "/run", self.run_scenario),
            web.get(one + "/blueprint", self.blueprint),
            web.get(one + "/interface", self.interface),
            web.patch(one + "/interface", self.update_interface),
            web.get(one + "/logs", self.list_logs),
            web.get(one + "/logs/{execution}", self.read_log),
            web.get(one + "/executions/{execution}", self.read_execution),
        ]

    def _hook_routes(self, base: str) -> list[web.RouteDef]:
        one = base + "/{id:\\d+}"
        return [
            web.get(base, self.list_hooks),
            web.post(base, self.create_hook),
            web.get(one, self.read_hook),
            web.patch(one, self.rename_hook),
            web.delete(one, self.delete_hook),
            web.get(one + "/ping", self.ping_hook),
            web.post(one + "/set-data", self.set_hook_data),
            web.post(one + "/{switch:enable|disable|learn-start|learn-stop}", self.switch_hook),
        ]

    def reset(self) -> None:
        self.webhooks.reset()
        self.scenarios: dict[int, Row] = {}
        self.hooks: dict[int, Row] = {}
        self.executions: list[Row] = []
        self.incomplete: dict[str, Row] = {}
        self.outcomes: list[Row] = []
        self._next = 100
        self._window = Window(limit=self.api_limit, seconds=60, now=self.clock.now)
        self._hook_window = Window(limit=self.hook_limit, seconds=1, now=self.clock.now)

    def state(self) -> Any:
        return {
            "scenarios": [self._scenario(s) for s in self.scenarios.values()],
            "executions": self.executions,
            "hooks": [self._hook(h) for h in self.hooks.values()],
            "dlqs": list(self.incomplete.values()),
        }

    def unauthorized(self, request: web.Request) -> web.Response | None:
        if request.path.startswith("/hook/") or request.headers.get("Authorization") == f"Token {API_KEY}":
            return None
        return self.error(401, "Access denied.")

    def limited(self, request: web.Request) -> web.Response | None:
        if request.path.startswith("/hook/"):
            return None if self._hook_window.allows() else web.Response(text="Too many requests.", status=429)
        if self._window.allows():
            return None
        return self.error(429, "Requests limit for organization exceeded, please try again later.")

    def error(self, status: int, message: str, *suberrors: str) -> web.Response:
        body: Row = {"detail": message, "message": message, "code": f"SC{status}"}
        if suberrors:
            body["suberrors"] = [{"message": text} for text in suberrors]
        return web.json_response(body, status=status)

    # -- scenarios ---------------------------------------------------------------------------------------------------

    async def list_scenarios(self, request: web.Request) -> web.Response:
        query = request.query
        if "teamId" not in query and "organizationId" not in query:
            return self._invalid("Missing value of required parameter 'teamId' or 'organizationId'.")
        rows = [self._scenario(s) for s in self.scenarios.values() if query.get("teamId") in (None, str(s["teamId"]))]
        if "organizationId" in query and query["organizationId"] != str(ORGANIZATION_ID):
            return self.error(403, "Permission denied.")
        if "isActive" in query:
            rows = [s for s in rows if s["isActive"] == (query["isActive"] == "true")]
        part, pg = wire.page(rows, request, "id")
        return web.json_response({"scenarios": [wire.columns(s, request) for s in part], "pg": pg})

    async def create_scenario(self, request: web.Request) -> web.Response:
        given = await request.json()
        missing = [n for n in ("teamId", "blueprint", "scheduling") if n not in given]
        problems = [f"Missing value of required parameter '{n}'." for n in missing] or self._problems(given)
        if problems:
            return self._invalid(*problems)
        now = wire.now()
        made = {
            "id": self._id(),
            "teamId": given["teamId"],
            "folderId": given.get("folderId"),
            "isActive": False,
            "description": "",
            "created": now,
            "lastEdit": now,
            "operations": 0,
            "queue": [],
            "interface": {"input": None, "output": None},
        }
        self._set(made, given)
        self.scenarios[made["id"]] = made
        self.effect("create_scenario", id=made["id"], name=made["name"])
        return web.json_response({"scenario": wire.columns(self._scenario(made), request)})

    async def read_scenario(self, request: web.Request) -> web.Response:
        found = self._found(request)
        return web.json_response({"scenario": wire.columns(self._scenario(found), request)})

    async def update_scenario(self, request: web.Request) -> web.Response:
        found, given = self._found(request), await request.json()
        if problems := self._problems(given):
            return self._invalid(*problems)
        self._set(found, given)
        found["lastEdit"] = wire.now()
        self.effect("update_scenario", id=found["id"], fields=sorted(given))
        return web.json_response({"scenario": wire.columns(self._scenario(found), request)})

    async def delete_scenario(self, request: web.Request) -> web.Response:
        found = self._found(request)
        del self.scenarios[found["id"]]
        self.effect("delete_scenario", id=found["id"])
        return web.json_response({"scenario": found["id"]})

    async def start_scenario(self, request: web.Request) -> web.Response:
        return self._switch(request, active=True)

    async def stop_scenario(self, request: web.Request) -> web.Response:
        return self._switch(request, active=False)

    async def run_scenario(self, request: web.Request) -> web.Response:
        found, given = self._found(request), await request.json() if request.can_read_body else {}
        if not found["isActive"]:
            return self.error(400, "Scenario is not active.")
        data = given.get("data") or {}
        wanted = [f["name"] for f in found["interface"]["input"] or [] if f.get("required") and f["name"] not in data]
        if wanted:
            return self._invalid(*[f"Missing value of required parameter '{name}'." for name in wanted])
        made = self._execute(found, data, "manual", given.get("callbackUrl"))
        if not given.get("responsive"):
            return web.json_response({"executionId": made["id"]})
        await self.clock.sleep(self.run_seconds)
        return web.json_response({"executionId": made["id"], "status": made["status"], "outputs": made["outputs"]})

    async def blueprint(self, request: web.Request) -> web.Response:
        found = self._found(request)
        seen = {
            "blueprint": found["blueprint"],
            "scheduling": found["scheduling"],
            "idSequence": 1,
            "created": found["created"],
            "last_edit": found["lastEdit"],
            "metadata": {"input_spec": found["interface"]["input"], "output_spec": []},
        }
        return web.json_response({"code": "OK", "response": seen})

    async def interface(self, request: web.Request) -> web.Response:
        found = self._found(request)
        return web.json_response({"interface": found["interface"]})

    async def update_interface(self, request: web.Request) -> web.Response:
        found = self._found(request)
        found["interface"] |= (await request.json())["interface"]
        self.effect("update_interface", id=found["id"])
        return web.json_response({"interface": found["interface"]})

    # -- executions --------------------------------------------------------------------------------------------------

    async def list_logs(self, request: web.Request) -> web.Response:
        found = self._found(request)
        state, last = request.query.get("status"), request.query.get("pg[last]")
        limit = wire.whole(request, "pg[limit]", 50)
        rows = [e for e in reversed(self.executions) if e["scenarioId"] == found["id"] and self._over(e)]
        rows = [e for e in rows if state in (None, str(e["status"])) and (last is None or e["imtId"] < last)][:limit]
        pg = {
            "sortBy": "imtId",
            "sortDir": "desc",
            "last": rows[-1]["imtId"] if rows else None,
            "showLast": False,
            "limit": limit,
        }
        return web.json_response({"scenarioLogs": [wire.log(e) for e in rows], "pg": pg})

    async def read_log(self, request: web.Request) -> web.Response:
        found = self._execution(request)
        if not self._over(found):
            raise web.HTTPNotFound
        return web.json_response({"scenarioLog": wire.log(found)})

    async def read_execution(self, request: web.Request) -> web.Response:
        found = self._execution(request)
        if not self._over(found):
            return web.json_response({"status": "RUNNING"})
        body: Row = {"status": STATES[found["status"]], "outputs": found["outputs"]}
        if found["status"] == 3:
            body["error"] = {"name": "RuntimeError", "message": found["reason"]}
        return web.json_response(body)

    async def list_incomplete(self, request: web.Request) -> web.Response:
        if "scenarioId" not in request.query:
            return self._invalid("Missing value of required parameter 'scenarioId'.")
        rows = [d for d in self.incomplete.values() if str(d["scenarioId"]) == request.query["scenarioId"]]
        part, pg = wire.page(rows, request, "created")
        hidden = ("data", "scenarioId")
        return web.json_response({"dlqs": [{k: d[k] for k in d if k not in hidden} for d in part], "pg": pg})

    async def retry_incomplete(self, request: web.Request) -> web.Response:
        found = self.incomplete.get(request.match_info["id"])
        if found is None or found["resolved"] or found["scenarioId"] not in self.scenarios:
            raise web.HTTPNotFound
        made = self._execute(self.scenarios[found["scenarioId"]], found["data"], "auto", keep=False)
        found |= {"attempts": found["attempts"] + 1, "resolved": made["status"] == 1}
        self.effect("retry", id=found["id"], executionId=made["id"])
        return web.json_response({"success": True})

    def _execute(self, scenario: Row, data: Any, kind: str, callback: str | None = None, *, keep: bool = True) -> Row:
        outcome: Row = next((o for o in self.outcomes if o["scenarioId"] == scenario["id"]), {})
        if outcome:
            self.outcomes.remove(outcome)
        flow, status = scenario["blueprint"].get("flow") or [], outcome.get("status", 1)
        values = {"var": {"input": data}, str(flow[0].get("id", 1)) if flow else "1": data}
        returned: Row = next((m for m in flow if m.get("module") == "scenario-service:ReturnData"), {})
        outputs = wire.filled(returned.get("mapper") or {}, values) if status != 3 else {}
        now, key = int(time.time() * 1000), uuid.uuid4().hex
        # The counter keeps ids of one millisecond in order; they are what logs are paged by.
        imt = f"{now}_{len(self.executions):06}_scenario.{scenario['id']}.{kind}.{key}"
        made = {
            "id": key,
            "imtId": imt,
            "scenarioId": scenario["id"],
            "teamId": scenario["teamId"],
            "type": kind,
            "status": status,
            "reason": outcome.get("reason", "The operation failed."),
            "outputs": outputs,
            "operations": max(len(flow), 1),
            "timestamp": wire.now(),
            "at": self.clock.now(),
            "duration": int(self.run_seconds * 1000),
            "instant": kind == "instant",
            "values": values,
        }
        self.executions.append(made)
        scenario["operations"] += made["operations"]
        self.effect("run", scenarioId=scenario["id"], executionId=key, type=kind, status=status, data=data)
        if keep and status == 3 and wire.keeps_incomplete(scenario):
            self.incomplete[key] = {
                "id": key,
                "reason": made["reason"],
                "created": wire.now(),
                "size": len(json.dumps(data)),
                "resolved": False,
                "retry": True,
                "attempts": 0,
                "data": data,
                "scenarioId": scenario["id"],
            }
        if callback:
            body = {"executionId": key, "status": STATES[status], "outputs": outputs}
            self.webhooks.send_to(Receiver(callback, frozenset(), self.webhooks.sign), "run", json.dumps(body).encode())
        return made

    # -- hooks -------------------------------------------------------------------------------------------------------

    async def list_hooks(self, request: web.Request) -> web.Response:
        query = request.query
        if "teamId" not in query:
            return self._invalid("Missing value of required parameter 'teamId'.")
        rows = [self._hook(h, request) for h in self.hooks.values() if str(h["teamId"]) == query["teamId"]]
        rows = [h for h in rows if query.get("typeName") in (None, h["typeName"])]
        if "assigned" in query:
            rows = [h for h in rows if ("scenarioId" in h) == (query["assigned"] == "true")]
        return web.json_response({"hooks": rows})

    async def create_hook(self, request: web.Request) -> web.Response:
        given = await request.json()
        missing = [n for n in ("name", "teamId", "typeName") if n not in given]
        if missing:
            return self._invalid(*[f"Missing value of required parameter '{n}'." for n in missing])
        usual = {"headers": False, "method": False, "stringify": False}
        data = usual | {k: v for k, v in given.items() if k not in ("name", "typeName")}
        made = {
            "id": self._id(),
            "name": given["name"],
            "teamId": given["teamId"],
            "typeName": given["typeName"],
            "udid": uuid.uuid4().hex,
            "data": data,
            "enabled": True,
            "learning": False,
        }
        self.hooks[made["id"]] = made
        self.effect("create_hook", id=made["id"], name=made["name"])
        return web.json_response({"hook": self._hook(made, request)})

    async def read_hook(self, request: web.Request) -> web.Response:
        found = self._found_hook(request)
        return web.json_response({"hook": self._hook(found, request)})

    async def rename_hook(self, request: web.Request) -> web.Response:
        found = self._found_hook(request)
        found["name"] = (await request.json())["name"]
        self.effect("rename_hook", id=found["id"], name=found["name"])
        return web.json_response({"hook": self._hook(found, request)})

    async def delete_hook(self, request: web.Request) -> web.Response:
        found = self._found_hook(request)
        if self._listener(found) and request.query.get("confirmed") != "true":
            return self.error(400, "The webhook is used by a scenario; confirm the deletion.")
        del self.hooks[found["id"]]
        self.effect("delete_hook", id=found["id"])
        return web.json_response({"hook": found["id"]})

    async def ping_hook(self, request: web.Request) -> web.Response:
        found = self._found_hook(request)
        seen = {"address": self._hook(found, request)["url"], "attached": self._listener(found) is not None}
        return web.json_response(seen | {"learning": found["learning"], "gone": False})

    async def set_hook_data(self, request: web.Request) -> web.Response:
        found, given = self._found_hook(request), await request.json()
        changed = found["data"] != found["data"] | given
        found["data"] |= given
        if changed:
            self.effect("set_hook_data", id=found["id"], fields=sorted(given))
        return web.json_response({"changed": changed})

    async def switch_hook(self, request: web.Request) -> web.Response:
        found, switch = self._found_hook(request), request.match_info["switch"]
        if switch in ("enable", "disable"):
            found["enabled"] = switch == "enable"
        else:
            found["learning"] = switch == "learn-start"
        self.effect(f"{switch.replace('-', '_')}_hook", id=found["id"])
        return web.json_response({"success": True})

    async def called(self, request: web.Request) -> web.Response:
        found = next((h for h in self.hooks.values() if h["udid"] == request.match_info["udid"]), None)
        if found is None or not found["enabled"]:
            return web.Response(text="There is no scenario listening for this webhook.", status=410)
        data: Row = dict(request.query)
        if request.can_read_body and request.content_type == "application/json":
            sent = await request.json()
            data |= sent if isinstance(sent, dict) else {"value": sent}
        elif request.can_read_body:
            data |= {key: str(value) for key, value in (await request.post()).items()}
        scenario = self._listener(found)
        if scenario is None or not scenario["isActive"]:
            if scenario is not None:
                scenario["queue"].append(data)
                self.effect("queue", hookId=found["id"], data=data)
            return web.Response(text="Accepted")
        made = self._execute(scenario, data, "instant")
        answer = next((m for m in scenario["blueprint"]["flow"] if m.get("module") == "gateway:WebhookRespond"), None)
        if answer is None:
            return web.Response(text="Accepted")
        if made["status"] == 3:
            return web.Response(text="Scenario failed to complete.", status=500)
        mapped = wire.filled(answer.get("mapper") or {}, made["values"])
        return web.Response(text=str(mapped.get("body", "")), status=int(mapped.get("status", 200)))

    # -- shared ------------------------------------------------------------------------------------------------------

    def _switch(self, request: web.Request, *, active: bool) -> web.Response:
        found = self._found(request)
        if found["isActive"] != active:
            found["isActive"] = active
            self.effect("start" if active else "stop", id=found["id"])
        if active:
            waiting, found["queue"] = found["queue"], []
            for data in waiting:
                self._execute(found, data, "instant")
        return web.json_response({"scenario": {"id": found["id"], "isActive": active, "islinked": active}})

    def _problems(self, given: Row) -> list[str]:
        problems = []
        for name in ("blueprint", "scheduling"):
            if name in given and (not isinstance(given[name], str) or wire.parsed(given[name]) is None):
                problems.append(f"Invalid value in parameter '{name}'. Value must be a JSON object as a string.")
        if given.get("teamId", TEAM_ID) != TEAM_ID:
            problems.append("Invalid value in parameter 'teamId'.")
        return problems

    def _set(self, scenario: Row, given: Row) -> None:
        for name in ("blueprint", "scheduling"):
            if name in given:
                scenario[name] = wire.parsed(given[name])
        usual = scenario["blueprint"].get("name", "New scenario") if "blueprint" in given else scenario["name"]
        scenario["name"] = given.get("name", usual)
        scenario |= {key: given[key] for key in ("description", "folderId") if key in given}

    def _found(self, request: web.Request) -> Row:
        return wire.or_404(self.scenarios.get(int(request.match_info["id"])))

    def _found_hook(self, request: web.Request) -> Row:
        return wire.or_404(self.hooks.get(int(request.match_info["id"])))

    def _execution(self, request: web.Request) -> Row:
        wanted = (int(request.match_info["id"]), request.match_info["execution"])
        return wire.or_404(next((e for e in self.executions if (e["scenarioId"], e["id"]) == wanted), None))

    def _over(self, execution: Row) -> bool:
        return bool(self.clock.now() - execution["at"] >= self.run_seconds * 0.9)

    def _listener(self, hook: Row) -> Row | None:
        return next((s for s in self.scenarios.values() if wire.hook_of(s) == hook["id"]), None)

    def _scenario(self, row: Row) -> Row:
        packages = {str(m.get("module", "")).partition(":")[0] for m in row["blueprint"].get("flow") or []}
        waiting = sum(d["scenarioId"] == row["id"] and not d["resolved"] for d in self.incomplete.values())
        shown = {
            k: row[k]
            for k in (
                "id",
                "name",
                "teamId",
                "description",
                "folderId",
                "isActive",
                "lastEdit",
                "created",
                "scheduling",
                "operations",
            )
        }
        return shown | {
            "hookId": wire.hook_of(row),
            "deviceId": None,
            "deviceScope": None,
            "concept": False,
            "isinvalid": False,
            "islinked": row["isActive"],
            "islocked": False,
            "isPaused": False,
            "usedPackages": sorted(packages),
            "iswaiting": False,
            "dlqCount": waiting,
            "transfer": 0,
            "createdByUser": wire.USER,
            "updatedByUser": wire.USER,
            "nextExec": None,
        }

    def _hook(self, row: Row, request: web.Request | None = None) -> Row:
        listener = self._listener(row)
        path = f"/hook/{row['udid']}"
        shown = {k: row[k] for k in ("id", "name", "teamId", "udid", "enabled", "typeName", "data")}
        shown |= {
            "type": "web",
            "packageName": None,
            "theme": "#c73a63",
            "gone": False,
            "queueLimit": 10000,
            "editable": row["typeName"] == "gateway-webhook",
            "queueCount": len(listener["queue"]) if listener else 0,
            "url": str(request.url.origin()) + path if request else path,
        }
        return shown | ({"scenarioId": listener["id"]} if listener else {})

    def _id(self) -> int:
        self._next += 1
        return self._next

    def _invalid(self, *problems: str) -> web.Response:
        return self.error(400, "Validation failed for 1 parameter(s).", *problems)

    async def _set_outcome(self, request: web.Request) -> web.Response:
        self.outcomes.append(await request.json())
        return web.json_response({"outcomes": len(self.outcomes)})
