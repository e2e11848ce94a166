"""ElevenLabs agents: phone numbers, outbound calls that become conversations, knowledge base, signed post-call webhooks.

Control beyond common.py and webhooks.py:

    POST /_sandbox/script   {"to_number"?, "transcript"?: [{"role", "message"}], "summary"?, "call_successful"?,
                             "data_collection"?: {name: value}, "evaluation"?: {criterion: result},
                             "failure_reason"?: "busy" | "no-answer" | "unknown"}   how the next call goes
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from functools import partial
from typing import Any

from aiohttp import web

from sandbox.vendors import elevenlabs_wire as wire
from sandbox.vendors.clock import Timer
from sandbox.vendors.common import Emulator, Window
from sandbox.vendors.webhooks import Webhooks

API_KEY = "sk_" + "e1" * 24
WEBHOOK_SECRET = wire.WEBHOOK_SECRET
AGENT_ID = "agent_" + "01" * 14
PHONE_NUMBER_ID = "phnum_" + "02" * 14
PHONE_NUMBER = "+15005550006"
Row = wire.Row


class ElevenLabs(Emulator):
    """One workspace with one agent and one Twilio number. Calls are answered and end by themselves, by age."""

    vendor = "elevenlabs"
    lasting = ("effects", "_count", "agents", "numbers", "conversations", "documents", "scripts")

    def __init__(
        self, *, answer_after: float = 0.3, end_after: float = 1.0, concurrent_calls: int = 10, per_second: int = 50
    ) -> None:
        super().__init__()
        self.answer_after, self.end_after = answer_after, end_after
        self.concurrent_calls, self.per_second = concurrent_calls, per_second
        self.webhooks = Webhooks(wire.sign)
        self._timers: dict[str, Timer] = {}
        self.reset()
        self.webhooks.add_routes(self.app)
        self.app.on_cleanup.append(self._stop_timers)
        self.app.add_routes([web.post("/_sandbox/script", self._script), *self._agent_routes(), *self._base_routes()])

    def _agent_routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/convai/agents/create", self.create_agent),
            web.get("/v1/convai/agents", self.list_agents),
            web.get("/v1/convai/agents/{id}", self.read_agent),
            web.patch("/v1/convai/agents/{id}", self.update_agent),
            web.delete("/v1/convai/agents/{id}", self.delete_agent),
            web.post("/v1/convai/phone-numbers", self.create_number),
            web.get("/v1/convai/phone-numbers", self.list_numbers),
            web.get("/v1/convai/phone-numbers/{id}", self.read_number),
            web.patch("/v1/convai/phone-numbers/{id}", self.update_number),
            web.delete("/v1/convai/phone-numbers/{id}", self.delete_number),
            web.post("/v1/convai/twilio/outbound-call", self.call),
            web.get("/v1/convai/conversation/get-signed-url", self.signed_url),
            web.get("/v1/convai/conversations", self.list_conversations),
            web.get("/v1/convai/conversations/{id}", self.read_conversation),
            web.delete("/v1/convai/conversations/{id}", self.delete_conversation),
        ]

    def _base_routes(self) -> list[web.RouteDef]:
        base = "/v1/convai/knowledge-base"
        return [
            web.post(base + "/text", self.create_text),
            web.post(base + "/url", self.create_url),
            web.post(base + "/file", self.create_file),
            web.get(base, self.list_documents),
            web.get(base + "/{id}", self.read_document),
            web.patch(base + "/{id}", self.update_document),
            web.delete(base + "/{id}", self.delete_document),
            web.get(base + "/{id}/content", self.read_content),
            web.get(base + "/{id}/dependent-agents", self.dependents),
        ]

    def reset(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.webhooks.reset()
        self._count = 0
        self.agents: dict[str, Row] = {}
        self.numbers: dict[str, Row] = {}
        self.conversations: dict[str, Row] = {}
        self.documents: dict[str, Row] = {}
        self.scripts: list[Row] = []
        self._window = Window(limit=self.per_second, seconds=1, now=self.clock.now)
        self._add(
            self.agents,
            AGENT_ID,
            name="Sandbox agent",
            conversation_config=copy.deepcopy(wire.AGENT_DEFAULTS),
            tags=[],
            platform_settings={},
        )
        self._add(
            self.numbers,
            PHONE_NUMBER_ID,
            phone_number=PHONE_NUMBER,
            label="Sandbox number",
            provider="twilio",
            agent_id=AGENT_ID,
        )

    def state(self) -> Any:
        return {
            "agents": [self._agent(a) for a in self.agents.values()],
            "phone_numbers": [self._number(n) for n in self.numbers.values()],
            "conversations": [self._conversation(c) for c in self.conversations.values()],
            "knowledge_base": [self._document(d) for d in self.documents.values()],
        }

    def unauthorized(self, request: web.Request) -> web.Response | None:
        return None if request.headers.get("xi-api-key") == API_KEY else self.error(401, "Invalid API key")

    def limited(self, request: web.Request) -> web.Response | None:
        return None if self._window.allows() else self.error(429, "Too many requests. Please slow down.")

    def error(self, status: int, message: str, code: str | None = None) -> web.Response:
        kind, usual = wire.ERRORS.get(status, ("internal_error", "internal_error"))
        detail = {
            "type": kind,
            "code": code or usual,
            "status": code or usual,
            "message": message,
            "request_id": uuid.uuid4().hex,
        }
        return web.json_response({"detail": detail}, status=status)

    def failed_answer(self, request: web.Request) -> web.Response:
        return _call_answer(success=False, message="injected fault: the call could not be placed")

    # -- agents ------------------------------------------------------------------------------------------------------

    async def create_agent(self, request: web.Request) -> web.Response:
        given = await wire.body(request, conversation_config=dict)
        made = self._add(
            self.agents,
            "agent_" + uuid.uuid4().hex[:28],
            name=given.get("name") or "New agent",
            conversation_config=wire.merged(wire.AGENT_DEFAULTS, given["conversation_config"]),
            platform_settings=given.get("platform_settings") or {},
            tags=given.get("tags") or [],
        )
        self.effect("create_agent", id=made["id"], name=made["name"])
        return web.json_response({"agent_id": made["id"]})

    async def list_agents(self, request: web.Request) -> web.Response:
        text = request.query.get("search", "").lower()
        part, rest = wire.page([a for a in self.agents.values() if text in a["name"].lower()], request)
        return web.json_response({"agents": [self._agent_summary(a) for a in part]} | rest)

    async def read_agent(self, request: web.Request) -> web.Response:
        found = self.agents.get(request.match_info["id"])
        return web.json_response(self._agent(found)) if found else self._missing("agent", request)

    async def update_agent(self, request: web.Request) -> web.Response:
        found = self.agents.get(request.match_info["id"])
        if found is None:
            return self._missing("agent", request)
        given = await wire.body(request)
        for key in {"name", "tags", "conversation_config", "platform_settings"} & given.keys():
            found[key] = wire.merged(found[key], given[key]) if isinstance(found[key], dict) else given[key]
        found["updated"] = int(time.time())
        self.effect("update_agent", id=found["id"], fields=sorted(given))
        return web.json_response(self._agent(found))

    async def delete_agent(self, request: web.Request) -> web.Response:
        return self._delete("agent", self.agents, request)

    # -- phone numbers -----------------------------------------------------------------------------------------------

    async def create_number(self, request: web.Request) -> web.Response:
        given = await wire.body(request, phone_number=str, label=str, sid=str, token=str)
        made = self._add(
            self.numbers,
            "phnum_" + uuid.uuid4().hex[:28],
            phone_number=given["phone_number"],
            label=given["label"],
            provider="twilio",
            agent_id=given.get("agent_id"),
        )
        self.effect("create_phone_number", id=made["id"], phone_number=made["phone_number"])
        return web.json_response({"phone_number_id": made["id"]})

    async def list_numbers(self, request: web.Request) -> web.Response:
        agent = request.query.get("agent_id")
        return web.json_response([self._number(n) for n in self.numbers.values() if agent in (None, n["agent_id"])])

    async def read_number(self, request: web.Request) -> web.Response:
        found = self.numbers.get(request.match_info["id"])
        return web.json_response(self._number(found)) if found else self._missing("phone_number", request)

    async def update_number(self, request: web.Request) -> web.Response:
        found = self.numbers.get(request.match_info["id"])
        if found is None:
            return self._missing("phone_number", request)
        given = await wire.body(request)
        if given.get("agent_id") and given["agent_id"] not in self.agents:
            return self.error(404, f"Agent {given['agent_id']} not found", "agent_not_found")
        found.update({key: given[key] for key in ("agent_id", "label") if key in given})
        self.effect("update_phone_number", id=found["id"], fields=sorted(given))
        return web.json_response(self._number(found))

    async def delete_number(self, request: web.Request) -> web.Response:
        return self._delete("phone_number", self.numbers, request)

    # -- calls and conversations -------------------------------------------------------------------------------------

    async def call(self, request: web.Request) -> web.Response:
        given = await wire.body(request, agent_id=str, agent_phone_number_id=str, to_number=str)
        agent, number = self.agents.get(given["agent_id"]), self.numbers.get(given["agent_phone_number_id"])
        if agent is None:
            return self.error(404, f"Agent {given['agent_id']} not found", "agent_not_found")
        if number is None:
            text = f"Phone number {given['agent_phone_number_id']} not found"
            return self.error(404, text, "phone_number_not_found")
        live = [c for c in self.conversations.values() if self._status(c) in ("initiated", "in-progress")]
        if len(live) >= self.concurrent_calls:
            return self.error(429, "Too many concurrent calls.", "concurrent_limit_exceeded")
        to = given["to_number"]
        if not wire.E164.match(to):
            return _call_answer(success=False, message=f"Unable to create record: The phone number {to} is not valid.")
        script: Row = next((s for s in self.scripts if s.get("to_number") in (None, to)), {})
        if script:
            self.scripts.remove(script)
        sid = "CA" + uuid.uuid4().hex
        made = self._add(
            self.conversations,
            "conv_" + uuid.uuid4().hex[:28],
            agent_id=agent["id"],
            to=to,
            agent_name=agent["name"],
            number=number,
            call_sid=sid,
            script=script,
            at=self.clock.now(),
            ended=False,
            client=given.get("conversation_initiation_client_data") or {},
            first=agent["conversation_config"]["agent"]["first_message"] or "Hello!",
        )
        self.effect("call", id=made["id"], to=to, agent_id=agent["id"])
        self._timers[made["id"]] = self.clock.later(self.end_after, partial(self._ended, made["id"]))
        return _call_answer(success=True, message="Success", conversation_id=made["id"], callSid=sid)

    async def signed_url(self, request: web.Request) -> web.Response:
        agent = request.query.get("agent_id")
        if not agent:
            raise wire.invalid("query", "agent_id", "Field required", "missing")
        if agent not in self.agents:
            return self.error(404, f"Agent {agent} not found", "agent_not_found")
        token = uuid.uuid4().hex
        url = f"ws://{request.host}/v1/convai/conversation?agent_id={agent}&conversation_signature={token}"
        return web.json_response({"signed_url": url})

    async def list_conversations(self, request: web.Request) -> web.Response:
        rows = [c for c in self.conversations.values() if self._wanted(c, request)]
        part, rest = wire.page(rows, request)
        return web.json_response({"conversations": [self._summary(c) for c in part]} | rest)

    async def read_conversation(self, request: web.Request) -> web.Response:
        found = self.conversations.get(request.match_info["id"])
        return web.json_response(self._conversation(found)) if found else self._missing("conversation", request)

    async def delete_conversation(self, request: web.Request) -> web.Response:
        return self._delete("conversation", self.conversations, request)

    def _wanted(self, row: Row, request: web.Request) -> bool:
        query, seen = request.query, self._conversation(row)
        outcome = seen["analysis"]["call_successful"] if seen["analysis"] else "unknown"
        return (
            query.get("agent_id") in (None, row["agent_id"])
            and query.get("user_id") in (None, seen["user_id"])
            and query.get("call_successful") in (None, outcome)
            and row["created"] >= wire.whole(request, "call_start_after_unix", 0)
            and row["created"] <= wire.whole(request, "call_start_before_unix", 1 << 40)
            and seen["metadata"]["call_duration_secs"] >= wire.whole(request, "call_duration_min_secs", 0)
            and seen["status"] not in query.getall("exclude_statuses", [])
        )

    def _ended(self, key: str) -> None:
        self._timers.pop(key, None)
        row = self.conversations.get(key)
        if row is None:
            return
        row["ended"] = True
        kind, data = "post_call_transcription", self._conversation(row)
        if reason := row["script"].get("failure_reason"):
            kind = "call_initiation_failure"
            call = {"CallSid": row["call_sid"], "To": row["to"], "CallStatus": reason}
            data = {
                "agent_id": row["agent_id"],
                "conversation_id": row["id"],
                "failure_reason": reason,
                "metadata": {"type": "twilio", "body": call},
            }
        self.effect("call_ended", id=row["id"], status=self._status(row))
        self.webhooks.send(kind, json.dumps({"type": kind, "event_timestamp": int(time.time()), "data": data}).encode())

    def _status(self, row: Row) -> str:
        if row["ended"]:
            return "failed" if row["script"].get("failure_reason") else "done"
        aged = self.clock.now() - row["at"] >= self.answer_after
        answered = aged and not row["script"].get("failure_reason")
        return "in-progress" if answered else "initiated"

    def _turns(self, row: Row, status: str) -> list[Row]:
        if status in ("initiated", "failed"):
            return []
        first = wire.rendered(row["first"], row["client"].get("dynamic_variables") or {})
        usual = [
            {"role": "agent", "message": first},
            {"role": "user", "message": "Yes, this is a good time."},
            {"role": "agent", "message": "Thank you. Goodbye."},
        ]
        turns = row["script"].get("transcript") or usual
        shown = turns[:1] if status == "in-progress" else turns
        return [
            t
            | {"time_in_call_secs": i * 4, "tool_calls": [], "tool_results": [], "feedback": None, "interrupted": False}
            for i, t in enumerate(shown)
        ]

    def _conversation(self, row: Row) -> Row:
        status = self._status(row)
        turns = self._turns(row, status)
        seconds = len(turns) * 4 if status == "done" else 0
        phone = {
            "type": "twilio",
            "direction": "outbound",
            "phone_number_id": row["number"]["id"],
            "agent_number": row["number"]["phone_number"],
            "external_number": row["to"],
            "call_sid": row["call_sid"],
            "stream_sid": "MZ" + row["call_sid"][2:],
        }
        reason = {"done": "Call ended by remote party", "failed": row["script"].get("failure_reason")}.get(status, "")
        metadata = {
            "start_time_unix_secs": row["created"],
            "call_duration_secs": seconds,
            "cost": seconds * 10,
            "phone_call": phone,
            "termination_reason": reason,
            "error": None,
            "main_language": "en",
            "conversation_initiation_source": "twilio",
            "deletion_settings": {},
        }
        variables = {
            "system__conversation_id": row["id"],
            "system__called_number": row["to"],
            "system__caller_id": row["number"]["phone_number"],
        }
        variables |= row["client"].get("dynamic_variables") or {}
        return {
            "agent_id": row["agent_id"],
            "agent_name": row["agent_name"],
            "conversation_id": row["id"],
            "status": status,
            "user_id": row["client"].get("user_id"),
            "transcript": turns,
            "metadata": metadata,
            "analysis": self._analysis(row) if status == "done" else None,
            "has_audio": False,
            "has_user_audio": False,
            "has_response_audio": False,
            "has_auxiliary_audio": False,
            "conversation_initiation_client_data": row["client"] | {"dynamic_variables": variables},
        }

    def _analysis(self, row: Row) -> Row:
        script = row["script"]
        collected = {
            name: {"data_collection_id": name, "value": value, "json_schema": None, "rationale": "scripted"}
            for name, value in (script.get("data_collection") or {}).items()
        }
        judged = {
            name: {"criteria_id": name, "result": result, "rationale": "scripted"}
            for name, result in (script.get("evaluation") or {}).items()
        }
        return {
            "call_successful": script.get("call_successful", "success"),
            "call_summary_title": "Call",
            "transcript_summary": script.get("summary", "The agent called and the person answered."),
            "data_collection_results": collected,
            "evaluation_criteria_results": judged,
        }

    def _summary(self, row: Row) -> Row:
        seen = self._conversation(row)
        analysis = seen["analysis"] or {"call_successful": "unknown", "transcript_summary": None}
        return {
            "agent_id": row["agent_id"],
            "agent_name": row["agent_name"],
            "conversation_id": row["id"],
            "start_time_unix_secs": row["created"],
            "call_duration_secs": seen["metadata"]["call_duration_secs"],
            "message_count": len(seen["transcript"]),
            "status": seen["status"],
            "direction": "outbound",
            "call_successful": analysis["call_successful"],
            "transcript_summary": analysis["transcript_summary"],
        }

    # -- knowledge base ----------------------------------------------------------------------------------------------

    async def create_text(self, request: web.Request) -> web.Response:
        given = await wire.body(request, text=str)
        return self._insert_document("text", given.get("name") or given["text"][:40], given["text"])

    async def create_url(self, request: web.Request) -> web.Response:
        given = await wire.body(request, url=str)
        if not given["url"].startswith(("http://", "https://")):
            raise wire.invalid("body", "url", "Input should be a valid URL", "url_parsing")
        content = f"<p>The page at {given['url']}</p>"
        return self._insert_document("url", given.get("name") or given["url"], content, url=given["url"])

    async def create_file(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if not isinstance(file, web.FileField):
            raise wire.invalid("body", "file", "Field required", "missing")
        content = file.file.read().decode(errors="replace")
        return self._insert_document("file", str(form.get("name") or file.filename), content, filename=file.filename)

    async def list_documents(self, request: web.Request) -> web.Response:
        text, types = request.query.get("search", "").lower(), request.query.getall("types", [])
        rows = [d for d in self.documents.values() if text in d["name"].lower() and (not types or d["type"] in types)]
        part, rest = wire.page(rows, request)
        shown = [self._document(d) | {"dependent_agents": self._dependents(d["id"])} for d in part]
        return web.json_response({"documents": shown} | rest)

    async def read_document(self, request: web.Request) -> web.Response:
        found = self.documents.get(request.match_info["id"])
        if found is None:
            return self._missing("document", request)
        return web.json_response(self._document(found) | {"extracted_inner_html": found["content"]})

    async def read_content(self, request: web.Request) -> web.Response:
        found = self.documents.get(request.match_info["id"])
        return web.Response(text=found["content"]) if found else self._missing("document", request)

    async def update_document(self, request: web.Request) -> web.Response:
        found = self.documents.get(request.match_info["id"])
        if found is None:
            return self._missing("document", request)
        given = await wire.body(request)
        found.update({key: given[key] for key in ("name", "content") if key in given}, updated=int(time.time()))
        self.effect("update_document", id=found["id"], fields=sorted(given))
        return web.json_response(self._document(found) | {"extracted_inner_html": found["content"]})

    async def delete_document(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        if self._dependents(key) and request.query.get("force") != "true":
            return self.error(400, f"Document {key} is used by agents", "document_has_dependents")
        answer = self._delete("document", self.documents, request)
        for agent in self.agents.values():
            prompt = agent["conversation_config"]["agent"]["prompt"]
            prompt["knowledge_base"] = [d for d in prompt["knowledge_base"] if d["id"] != key]
        return answer

    async def dependents(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self.documents:
            return self._missing("document", request)
        agents = self._dependents(request.match_info["id"])
        return web.json_response({"agents": agents, "next_cursor": None, "has_more": False})

    def _insert_document(self, kind: str, name: str, content: str, **more: str) -> web.Response:
        made = self._add(self.documents, uuid.uuid4().hex[:20], type=kind, name=name, content=content, more=more)
        self.effect("create_document", id=made["id"], type=kind, name=name)
        return web.json_response({"id": made["id"], "name": name, "folder_path": []})

    def _dependents(self, key: str) -> list[Row]:
        return [
            {
                "type": "available",
                "id": a["id"],
                "name": a["name"],
                "created_at_unix_secs": a["created"],
                "access_level": "admin",
                "referenced_resource_ids": [key],
            }
            for a in self.agents.values()
            if any(d["id"] == key for d in a["conversation_config"]["agent"]["prompt"]["knowledge_base"])
        ]

    def _document(self, row: Row) -> Row:
        metadata = {
            "created_at_unix_secs": row["created"],
            "last_updated_at_unix_secs": row["updated"],
            "size_bytes": len(row["content"].encode()),
        }
        return {
            "id": row["id"],
            "type": row["type"],
            "name": row["name"],
            "metadata": metadata,
            "supported_usages": ["prompt", "auto"],
            "access_info": wire.ACCESS,
            "folder_path": [],
            **row["more"],
        }

    # -- shared ------------------------------------------------------------------------------------------------------

    def _agent(self, row: Row) -> Row:
        dates = {"created_at_unix_secs": row["created"], "updated_at_unix_secs": row["updated"]}
        numbers = [self._number(n) for n in self.numbers.values() if n["agent_id"] == row["id"]]
        return {
            "agent_id": row["id"],
            "name": row["name"],
            "conversation_config": row["conversation_config"],
            "metadata": dates,
            "platform_settings": row["platform_settings"],
            "phone_numbers": numbers,
            "access_info": wire.ACCESS,
            "tags": row["tags"],
        }

    def _agent_summary(self, row: Row) -> Row:
        calls = [c["created"] for c in self.conversations.values() if c["agent_id"] == row["id"]]
        return {
            "agent_id": row["id"],
            "name": row["name"],
            "tags": row["tags"],
            "access_info": wire.ACCESS,
            "voice_id": row["conversation_config"]["tts"]["voice_id"],
            "created_at_unix_secs": row["created"],
            "updated_at_unix_secs": row["updated"],
            "archived": False,
            "last_call_time_unix_secs": max(calls, default=None),
        }

    def _number(self, row: Row) -> Row:
        agent = self.agents.get(row["agent_id"] or "")
        return {
            "phone_number_id": row["id"],
            "phone_number": row["phone_number"],
            "label": row["label"],
            "provider": row["provider"],
            "supports_inbound": True,
            "supports_outbound": True,
            "assigned_agent": {"agent_id": agent["id"], "agent_name": agent["name"]} if agent else None,
        }

    def _add(self, rows: dict[str, Row], key: str, **values: Any) -> Row:
        self._count += 1
        now = int(time.time())
        rows[key] = {"id": key, "_n": self._count, "created": now, "updated": now} | values
        return rows[key]

    def _delete(self, kind: str, rows: dict[str, Row], request: web.Request) -> web.Response:
        if rows.pop(request.match_info["id"], None) is None:
            return self._missing(kind, request)
        self.effect(f"delete_{kind}", id=request.match_info["id"])
        return web.json_response({})

    def _missing(self, kind: str, request: web.Request) -> web.Response:
        text = f"{kind.replace('_', ' ').capitalize()} {request.match_info['id']} not found"
        return self.error(404, text, f"{kind}_not_found")

    async def _script(self, request: web.Request) -> web.Response:
        self.scripts.append(await request.json())
        return web.json_response({"scripts": len(self.scripts)})

    async def _stop_timers(self, app: web.Application) -> None:
        for timer in self._timers.values():
            timer.cancel()


def _call_answer(**what: Any) -> web.Response:
    return web.json_response({"conversation_id": None, "callSid": None} | what)
