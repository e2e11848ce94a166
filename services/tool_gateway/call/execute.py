"""Sends calls that are admitted and whose intent is in the ledger. The lease is checked right before the first byte; a
request that may have left is not sent again here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import httpx2

from services.tool_gateway.answers.answer import Answer, Hidden
from services.tool_gateway.answers.apart import SMALL_BYTES, is_large, read_apart
from services.tool_gateway.answers.large import Large
from services.tool_gateway.answers.redacting import redacted, withheld
from services.tool_gateway.call import outcome
from services.tool_gateway.call.call import Ready
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.outcome import AttemptResult
from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES, Credential, Tool
from services.tool_gateway.traces import attempted
from services.tool_gateway.wire.credentials import Secrets, apply_credentials, tell_secrets
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent, Wire
from shared.errors import BadInput
from shared.redaction import Redactions, Redactor
from shared.telemetry import metrics
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.failpoints import failpoint
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
Submit = Callable[[Ready, Answer | None, AttemptResult, float], None]  # milliseconds at the end


class Executor:
    """Runs calls side by side; the end of each goes to `submit`. Whoever starts one has taken a place at its vendor, which
    is given back at its end."""

    def __init__(self, sender: Sender, submit: Submit, places: InFlightLimiter) -> None:
        self._sender = sender
        self._submit = submit
        self._places = places
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, ready: Ready) -> None:
        """Begin one call."""
        task = asyncio.create_task(self._run(ready))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, ready.tool.vendor))

    def _ended(self, task: asyncio.Task[None], vendor: str) -> None:
        self._tasks.discard(task)
        self._places.give_back(vendor)

    async def drain(self, seconds: float) -> None:
        """Let what is on its way come back."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _run(self, ready: Ready) -> None:
        started = time.monotonic()
        breakers, vendor = self._places.breakers, ready.tool.vendor
        answer: Answer | None = None
        try:
            answer = await self._sender.send(ready)
            breakers.heard(vendor, ready.call.call_id, answer.status)
            reading = await outcome.reading_of(ready.tool, answer)
            result = self._sender.discreet(ready.tool, outcome.of_answer(ready.tool, answer, ready.attempt, reading))
        except NotSent as error:
            breakers.lost(vendor, ready.call.call_id, error.code)
            result = outcome.of_not_sent(ready.attempt, error)
        except MaybeSent as error:
            breakers.lost(vendor, ready.call.call_id, error.code)
            result = outcome.of_maybe_sent(ready.tool, ready.attempt, error)
        except Exception as error:
            log.exception("call.failed_unforeseen", call_id=ready.call.call_id)
            unforeseen = MaybeSent("gateway.error", type(error).__name__)
            result = outcome.of_maybe_sent(ready.tool, ready.attempt, unforeseen)
        if ready.in_doubt:
            result = outcome.after_attempt_in_doubt(ready.tool, result)
        status = answer.status if answer else None
        state = "deferred" if result.deferred else result.state
        attempted(ready.call, ready.tool, ready.attempt, ready.prepared, status, state, result.error, started)
        self._done(ready, answer, result, time.monotonic() - started)

    def _done(self, ready: Ready, answer: Answer | None, result: AttemptResult, seconds: float) -> None:
        failpoint("gateway.after_effect_before_outcome")
        metrics.CALL_ATTEMPTS.labels(ready.tool.name, result.state).inc()
        self._submit(ready, answer, result, seconds * 1000)


class Connector(Protocol):
    """Carries out what is no HTTP. `gate` is awaited right before anything that could have an effect."""

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer: ...


class Sender:
    """Sends prepared requests with their credentials. Neither answers nor errors say one of them."""

    def __init__(
        self, wire: Wire, secrets: Secrets, tokens: Tokens, others: Mapping[str, Connector], redactor: Redactor
    ) -> None:
        self._wire = wire
        self._secrets = secrets
        self._tokens = tokens
        self._others = others
        self._redactor = redactor

    async def send(self, ready: Ready) -> Answer:
        """One exchange; of the answer what may be kept and shown. Raises NotSent or MaybeSent when there is no complete one."""
        tool, redactions = ready.tool, self._redactor.of(ready.tool.vendor)
        with redactions.errors():
            answer = await self._send(ready, redactions)
        if len(answer.body) <= SMALL_BYTES and not answer.encoded:
            answer = _without_secrets(answer, tool, redactions)
        else:
            answer = await asyncio.to_thread(_without_secrets, answer, tool, redactions)
        answer = await _without_sensitive(answer, tool) if tool.redact else answer
        return _without_arguments(answer, ready) if tool.redact_arguments else answer

    def discreet(self, tool: Tool, result: AttemptResult) -> AttemptResult:
        """A result without our credentials."""
        shown, error = self.without_secrets(tool, result.result), self.without_secrets(tool, result.error)
        unchanged = shown is result.result and error is result.error
        return result if unchanged else replace(result, result=shown, error=error)

    def without_secrets(self, tool: Tool, value: Any) -> Any:
        """What was read of an answer: reading resolves charsets and escapes, behind which a credential may have been."""
        redactions = self._redactor.of(tool.vendor)
        hidden = value.without(redactions) if isinstance(value, Large) else redactions.value(value)
        if hidden is not value:
            _tell_removed(tool)
        return hidden

    async def _send(self, ready: Ready, redactions: Redactions) -> Answer:
        if other := self._others.get(ready.tool.connector):
            for credential in ready.prepared.auth:
                tell_secrets(credential, self._secrets, redactions)
            try:
                return await other.send(ready.prepared, _seconds(ready), _gate(ready))
            except BadInput as error:
                raise NotSent(error.code, error.message, field=error.field, remedy=error.remedy) from error
        answer, used = await self._exchange(ready, redactions)
        if answer.status == 401 and any(self._tokens.refused(c, token) for c, token in used.items()):
            # 401 means that nothing happened. The access token may have been revoked early: once more with a new one.
            answer, _ = await self._exchange(ready, redactions)
        return answer

    async def _exchange(self, ready: Ready, redactions: Redactions) -> tuple[Answer, dict[Credential, str]]:
        used: dict[Credential, str] = {}

        async def token_of(credential: Credential) -> str:
            used[credential] = await self._tokens.get(credential, redactions)
            return used[credential]

        prepared = ready.prepared
        try:
            url, headers = await apply_credentials(prepared, self._secrets, token_of, redactions)
            request = httpx2.Request(
                prepared.method,
                url,
                headers=[(name.encode(), value.encode()) for name, value in headers],
                stream=httpx2.ByteStream(prepared.body),
                extensions={
                    "timeout": {"connect": 5.0, "read": _seconds(ready)},
                    "viox.gate": _gate(ready),
                    "viox.cut": True,
                },
            )
        except NotSent:
            raise
        except BadInput as error:
            raise NotSent(error.code, error.message, field=error.field, remedy=error.remedy) from error
        except Exception as error:
            # Postgres away, a URL too long: whatever it is, nothing has been sent.
            raise NotSent("http.not_made", f"no request could be made: {type(error).__name__}.") from error
        response = await self._wire.handle_async_request(request)
        raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
        extensions = response.extensions
        return Answer(response.status_code, raw, extensions["viox.body"], extensions["viox.cut"]), used


def _without_secrets(answer: Answer, tool: Tool, redactions: Redactions) -> Answer:
    """The answer byte for byte, without our credentials where a vendor says them back."""
    headers = [(name, redactions.text(value)) for name, value in answer.headers]
    body, kept = answer.body, answer.body
    if answer.encoded:
        with contextlib.suppress(ValueError):
            body = answer.plain()
    if (hidden := redactions.data(body)) is not body:
        kept, headers = hidden, [(name, value) for name, value in headers if name.lower() != "content-encoding"]
    elif headers == answer.headers:
        return answer
    _tell_removed(tool)
    return replace(answer, headers=headers, body=kept)


async def _without_sensitive(answer: Answer, tool: Tool) -> Answer:
    """The answer without what its schema, or a path, says is sensitive. A large one is looked through apart."""
    if not is_large(answer, MAX_RESPONSE_BYTES):
        return redacted(answer, tool.redact, tool.answer == "json")
    try:
        return await read_apart(redacted, answer, tool.redact, tool.answer == "json")
    except ValueError as error:
        log.warning("answer.withheld", tool=tool.name, bytes=len(answer.body), error=error)
        return withheld(answer, f"{error}.")


def _without_arguments(answer: Answer, ready: Ready) -> Answer:
    """The answer without the call's own sensitive arguments, where the vendor says them back."""
    said = Redactions()
    for value in ready.tool.redact_arguments.values(ready.call.arguments):
        said.tell("argument", value)
    headers = [(name, said.text(value)) for name, value in answer.headers]
    body = said.data(answer.body)
    if headers == answer.headers and body is answer.body:
        return answer
    hidden = answer.hidden or Hidden(0, sha256_bytes(answer.body), len(answer.body))
    return replace(answer, headers=headers, body=body, hidden=replace(hidden, values=hidden.values + 1))


def _tell_removed(tool: Tool) -> None:
    metrics.INCIDENTS.labels("secret.echoed").inc()
    log.warning("answer.credential_removed", vendor=tool.vendor, tool=tool.name)


def _seconds(ready: Ready) -> float:
    """How long this exchange may take."""
    return min(ready.tool.timeout_seconds, max(ready.lease_ends - time.monotonic(), 0.0))


def _gate(ready: Ready) -> Gate:
    """Asked right before the first byte that could have an effect."""

    async def gate() -> None:
        if time.monotonic() >= ready.lease_ends:
            raise NotSent("lease.lost", "the lease of this attempt ran out before it was sent.")
        failpoint("gateway.mid_call")

    return gate
