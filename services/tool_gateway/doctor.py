"""Does each vendor answer us? One harmless call each, with today's settings; what is wrong, and how to mend it.

Asked for over the gateway's own port (`POST /doctor`), because nobody else has the credentials, by whoever has the
operator's token: full answers are shown. Every probe is on record in the ledger like any other request, under
`doctor:<vendor>:<id>`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.large import Large
from services.tool_gateway.call import outcome
from services.tool_gateway.call.call import Ready, Requested
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.library import LeftOut
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.connectors.imap import VENDOR as MAILBOX
from services.tool_gateway.connectors.smtp import Mailer
from services.tool_gateway.mail.reading import AUTHSERV_ID
from services.tool_gateway.wire.credentials import Secrets, redacted
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.operator import SETTING, is_operator, tokens
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import MaybeSent, NotSent
from shared.errors import BadInput, VioxError
from shared.ids import CallId, RunId, ThreadId
from shared.runs import timestamp
from shared.store.sql import Queries
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SQL = Queries(Path(__file__).with_name("doctor.sql"))
OF_OURS = frozenset({"people", "apis", "office"})  # connectors that reach nobody's system
PROBE_SECONDS = 10.0
OK, WARNING, FAILED, UNSET, UNTRIED = "ok", "warning", "failed", "not configured", "not tried"
UNPROVED = "answers; of new mails nothing proves who wrote them."
NAME_IT = f"Set {AUTHSERV_ID} to the name of the server that receives the mails (docs/mail.md)."


class Doctor:
    """Tries every vendor of the catalogue."""

    def __init__(
        self, catalogue: Catalogue, secrets: Secrets, store: GatewayStore, sender: Sender, mailer: Mailer
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._store = store
        self._sender = sender
        self._mailer = mailer

    async def serve(self, request: web.Request, left_out: Sequence[LeftOut] = ()) -> web.Response:
        """Without a body: every vendor, credential, and document that is left out. With {tool, arguments}: that call,
        if all it does is read."""
        if "Origin" in request.headers:  # a page in somebody's browser; what we are for sends none
            return _refused(403, BadInput("doctor.browser", "browsers are not answered.", field="Origin"))
        if refusal := self._unknown(request.headers.get("Authorization", "")):
            return _refused(403, refusal)
        if not request.can_read_body:
            found = {
                "vendors": await self.examine(),
                "credentials": await self.credentials(),
                "documents": [one.as_dict() for one in left_out],
            }
            return web.json_response(found)
        try:
            given = orjson.loads(await request.read())
            tool, arguments = str(given["tool"]), dict(given.get("arguments") or {})
        except (KeyError, TypeError, ValueError, AttributeError):
            return _refused(400, BadInput("doctor.unreadable", "not JSON with tool and arguments.", field="body"))
        try:
            return web.json_response(await self.attempt(tool, arguments))
        except VioxError as error:
            return _refused(400, error)

    def _unknown(self, authorization: str) -> VioxError | None:
        """Why whoever sends this header is not answered; None for the operator."""
        try:
            known = tokens(self._secrets)
        except VioxError as error:
            return error
        if not known:
            return BadInput(
                "doctor.no_token",
                f"{SETTING} is not set for the gateway: it answers nobody here.",
                field=SETTING,
                remedy=f"Set {SETTING} to a long random text, for the gateway and for `viox`.",
            )
        if is_operator(authorization, known):
            return None
        return BadInput(
            "doctor.wrong_token",
            f"this is not the gateway's {SETTING}.",
            field=SETTING,
            remedy=f"Set {SETTING} to what the gateway has, or VIOX_HOME to the place of its stack.",
        )

    async def attempt(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call of a tool that reads, with what went out and what came back. Raises BadInput."""
        tool = self._catalogue.tools.get(name)
        if tool is None:
            raise BadInput("tool.not_found", f"there is no tool {name!r}.", field="TOOL", remedy="See `viox tools`.")
        if tool.effect != "read":
            raise BadInput(
                "tool.not_harmless",
                f"{name} is {tool.effect}: only what reads is tried.",
                field="TOOL",
                remedy="Have an agent call it.",
            )
        if problem := tool.problem_with(arguments):
            raise BadInput(problem["code"], problem["message"], field=problem["field"], remedy=problem["remedy"])
        result, prepared, answer = await self._try(tool.vendor, tool, arguments)
        url, headers = redacted(prepared)
        return {
            "tool": name,
            "state": result.state,
            "result": result.result.reference(None) if isinstance(result.result, Large) else result.result,
            "error": result.error,
            "request": {"method": prepared.method, "url": url, "headers": headers, "body": _text(prepared.body)},
            "response": {"status": answer.status, "headers": answer.headers, "body": _text(answer.body)}
            if answer
            else None,
        }

    async def examine(self) -> list[dict[str, Any]]:
        """What was found of each vendor: {vendor, state, tool, message, field, remedy, latency_ms}."""
        vendors: dict[str, list[Tool]] = {}
        for tool in self._catalogue.tools.values():
            vendors.setdefault(tool.vendor, []).append(tool)
        return list(await asyncio.gather(*(self._vendor(name, tools) for name, tools in sorted(vendors.items()))))

    async def credentials(self) -> list[dict[str, str | None]]:
        """What is known of each OAuth credential: {name, refreshed_at, expires_at, problem}, times in RFC 3339."""
        async with self._store.transaction() as connection:
            rows = await connection.fetch(SQL["credentials"])
        return [
            {
                "name": row["name"],
                "refreshed_at": timestamp(row["refreshed_at"]),
                "expires_at": timestamp(row["expires_at"]),
                "problem": row["problem"],
            }
            for row in rows
        ]

    async def _vendor(self, vendor: str, tools: list[Tool]) -> dict[str, Any]:
        missing = self._unset(tools)
        if missing:
            remedy = f"Set {', '.join(missing)} to use it (docs/tools.md)."
            return _finding(vendor, UNSET, message="no credential is set.", field=missing[0], remedy=remedy)
        started = time.monotonic()
        try:
            if tools[0].connector == "smtp":
                await self._mailer.probe(PROBE_SECONDS)
                return _finding(vendor, OK, message="the login is accepted.", started=started)
            tool = _probe_of(tools)
            if tools[0].connector in OF_OURS and (tool is None or tool.probe is None):
                return _finding(vendor, OK, message="of the gateway itself: there is nothing outside to ask.")
            if tool is None:
                remedy = "Mark one of its tools with `probe` in x-viox (an imported document's in an overlay)."
                return _finding(vendor, UNTRIED, message="it has no call without arguments.", remedy=remedy)
            result, _, _ = await self._try(vendor, tool, dict(tool.probe or {}))
        except VioxError as error:
            remedy = error.remedy or _remedy(error.code, tools[0])
            return _finding(vendor, FAILED, message=error.message, field=error.field, remedy=remedy, started=started)
        except Exception as error:  # the others' findings are told all the same
            log.exception("doctor.probe_failed", vendor=vendor)
            unforeseen = f"its probe failed in a way that nobody foresaw: {type(error).__name__}."
            return _finding(vendor, FAILED, message=unforeseen, remedy="See the gateway's log.", started=started)
        if result.state == "succeeded":
            if vendor == MAILBOX and self._secrets.or_none(AUTHSERV_ID) is None:
                return _finding(vendor, WARNING, message=UNPROVED, field=AUTHSERV_ID, remedy=NAME_IT, started=started)
            return _finding(vendor, OK, tool=tool.name, message="answers.", started=started)
        told = result.error or {}
        remedy = told.get("remedy") or _remedy(str(told.get("code")), tool)
        return _finding(
            vendor,
            FAILED,
            tool=tool.name,
            message=f"{told.get('code')}: {told.get('message')}",
            field=told.get("field"),
            remedy=remedy,
            started=started,
        )

    def _unset(self, tools: list[Tool]) -> list[str]:
        """What a vendor needs when nothing of it is set at all; what is half set is an error and not this."""
        if tools[0].connector == "smtp":
            return (
                []
                if self._secrets.or_none("SMTP_HOST")
                else ["SMTP_HOST", "SMTP_FROM", "SMTP_USERNAME", "SMTP_PASSWORD"]
            )
        named = [n for t in tools for alternative in t.credentials for c in alternative for n in c.secrets]
        if not named or any(self._secrets.or_none(name) is not None for name in named):
            return []
        first = next(t.credentials[0] for t in tools if t.credentials and t.credentials[0])
        base = [t.base_url_setting for t in tools if not t.base_url and t.base_url_setting]
        return [*dict.fromkeys([n for c in first for n in c.secrets] + base[:1])]

    async def _try(
        self, vendor: str, tool: Tool, arguments: dict[str, Any]
    ) -> tuple[AttemptResult, Prepared, Answer | None]:
        call = CallId(f"doctor:{vendor}:{uuid4()}")
        prepared = prepare(tool, arguments, self._secrets, key=call)
        nobody = uuid4()
        asked = Requested(call, RunId(nobody), 0, 0, "doctor", ThreadId(nobody), "", tool.name, arguments, None)
        now = time.monotonic()
        ready = Ready(asked, tool, prepared, outcome.MAX_ATTEMPTS, now + PROBE_SECONDS, now)
        answer: Answer | None = None
        try:
            answer = await self._sender.send(ready)
            result = self._sender.discreet(tool, outcome.of_answer(tool, answer, outcome.MAX_ATTEMPTS))
        except NotSent as error:
            error.final = True
            result = outcome.of_not_sent(1, error)
        except MaybeSent as error:
            result = outcome.of_maybe_sent(tool, outcome.MAX_ATTEMPTS, error)
        await self._record(call, prepared, answer)
        return result, prepared, answer

    async def _record(self, call: CallId, prepared: Prepared, answer: Answer | None) -> None:
        async with self._store.transaction() as connection:
            await self._store.enter(
                connection,
                call,
                1,
                "look_up",
                prepared=prepared,
                status=answer.status if answer else None,
                body=answer.body if answer else None,
                detail={"by": "doctor", "answered": answer is not None},
            )


def _refused(status: int, error: VioxError) -> web.Response:
    return web.json_response({"error": error.as_dict()}, status=status)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _probe_of(tools: list[Tool]) -> Tool | None:
    """The tool a document names for this, else any that reads without being told what."""
    reading = [t for t in tools if t.effect == "read"]
    named = next((t for t in reading if t.probe is not None), None)
    return named or next((t for t in reading if not t.input_schema["required"]), None)


def _finding(vendor: str, state: str, *, started: float | None = None, **more: Any) -> dict[str, Any]:
    latency = round((time.monotonic() - started) * 1000, 1) if started is not None else None
    return (
        {"vendor": vendor, "state": state, "tool": None, "message": None, "field": None, "remedy": None}
        | more
        | {"latency_ms": latency}
    )


def _remedy(code: str, tool: Tool) -> str:
    secrets = ", ".join(n for alternative in tool.credentials[:1] for c in alternative for n in c.secrets)
    base = tool.base_url_setting or "the base URL"
    match code:
        case "http.401" | "http.403":
            return f"Check {secrets} at the vendor: is it current, of this account, with the rights it needs?"
        case "http.404" | "tool.unreadable_answer":
            return f"Check {base} and the account's ids among the settings."
        case "http.not_sent" | "http.timeout" | "http.no_answer":
            return f"Is {base} right, and may this machine reach it?"
        case "http.429":
            return f"It throttles us: lower {tool.vendor.upper().replace('-', '_')}_RATE_PER_SECOND."
        case _:
            return "See the vendor's status page, or the ledger's entry of this probe."
