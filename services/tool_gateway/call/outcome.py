"""What an answer means: succeeded, failed, to be tried again, or unknown. Pure: rule 9 of the design as a table.

nothing left (NotSent)                          any effect: try again, later failed for certain
401 with an access token of OAuth               sent once more with a new token, then as below
2xx, success condition met                      succeeded
    2xx with a body that is not JSON                as an answer that never came
2xx, success condition not met                  failed (the vendor said so)
400 401 403 404 409 422 … (nothing happened)    failed, final
304, 307, 308 (do it elsewhere: not done here)  failed, final
other 3xx (the answer is elsewhere)             read: failed, final; others: as an answer that never came
429                                             nothing happened: wait, try again, later failed
sent without an answer, 408, 5xx                read, idempotent: try again, later failed
                                                keyed: try again with the same bytes, later unknown; a repeat that
                                                is not let in (401, 403, 429, not sent) ends as unknown, too; so does
                                                409 or 422 of a vendor that does not say what it means by them
                                                once: unknown, never again blindly
"""

from __future__ import annotations

import contextlib
import math
import zlib
from dataclasses import dataclass, replace
from typing import Any

import orjson

from services.tool_gateway.call.paths import at, project
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.transport import MAX_RESPONSE_BYTES, NotSent
from shared.bus.envelope import has_nul
from shared.bus.topics import MAX_INLINE_BYTES
from shared.errors import VioxError

# A vendor that answers so has done nothing (RFC 9110, section 15.5; 409 and 422 by every vendor of the catalogue).
NOTHING_HAPPENED = frozenset(
    {400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 422, 423, 428, 431, 451}
)
NOT_LET_IN = frozenset({401, 403, 407, 429})
OF_REPEATS = frozenset({409, 422})
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, complete. `body` are the bytes as they came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def plain(self) -> bytes:
        """The body without its content encoding. Raises ValueError when it unfolds to too much or cannot be read."""
        encoding = (self.header("content-encoding") or "identity").strip().lower()
        if encoding == "identity" or not self.body:
            return self.body
        if encoding not in ("gzip", "deflate"):
            raise ValueError(f"content encoding {encoding!r} was not asked for")
        unfold = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            plain = unfold.decompress(self.body, MAX_RESPONSE_BYTES)
        except zlib.error as error:
            raise ValueError(f"not {encoding}: {error}") from error
        if unfold.unconsumed_tail or not unfold.eof:
            raise ValueError(f"unfolds to more than {MAX_RESPONSE_BYTES:,} bytes, or is cut off")
        return plain

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """`state` succeeded, failed, unknown or requested (again in `wait_seconds`; `throttled` when the vendor asked).

    `in_doubt`: this attempt may have taken effect.
    """

    state: str
    result: Any = None
    error: dict[str, Any] | None = None
    wait_seconds: float = 0.0
    throttled: bool = False
    in_doubt: bool = False


def of_answer(tool: Tool, answer: Answer, attempt: int) -> AttemptResult:
    """What a complete response means for the call."""
    if answer.status in tool.empty_statuses:
        return AttemptResult("succeeded", None)
    if 200 <= answer.status < 300:
        return _of_success(tool, answer, attempt)
    if _busy(tool, answer):
        return _uncertain(tool, attempt, _vendor_error(tool, answer))
    if answer.status == 429:
        return _again(attempt, _retry_after(tool, answer), _vendor_error(tool, answer), throttled=True)
    if _done_elsewhere(tool, answer.status):
        return _uncertain(tool, attempt, _vendor_error(tool, answer))
    if answer.status in NOTHING_HAPPENED or answer.status in tool.harmless_statuses or 300 <= answer.status < 400:
        return AttemptResult("failed", error=_vendor_error(tool, answer))
    return _uncertain(tool, attempt, _vendor_error(tool, answer))


def of_not_sent(attempt: int, error: NotSent) -> AttemptResult:
    """Nothing left: safe to try again whatever the effect, where that can help."""
    if error.final:
        return AttemptResult("failed", error=error.as_dict() | {"message": storable(error.message)})
    return _again(attempt, 0.2 * 2**attempt, {"code": error.code, "message": storable(error.message)})


def of_maybe_sent(tool: Tool, attempt: int, error: VioxError) -> AttemptResult:
    """The request may have been carried out."""
    return _uncertain(tool, attempt, {"code": error.code, "message": storable(error.message)})


def after_attempt_in_doubt(tool: Tool, result: AttemptResult) -> AttemptResult:
    """An earlier attempt of this call may have taken effect: a repeat that was not let in says nothing about that one.

    Nor does one that was refused for being a repeat, of a vendor whose document does not say how to tell.
    """
    status = (result.error or {}).get("status")
    if result.state != "failed":
        return result
    told = tool.idempotency is not None and tool.idempotency.busy is not None
    silent = status is None or status in NOT_LET_IN or 300 <= status < 400 or (status in OF_REPEATS and not told)
    return replace(result, state="unknown") if silent else result


def _done_elsewhere(tool: Tool, status: int) -> bool:
    """A redirect after the work is done (303, and what is commonly sent in its place) does not say that nothing was."""
    return 300 <= status < 400 and status not in (304, 307, 308) and tool.effect != "read"


def _of_success(tool: Tool, answer: Answer, attempt: int) -> AttemptResult:
    try:
        body = read_body(tool, answer, answer.plain())
    except ValueError as unreadable:
        # A proxy's page, a cut body: the status says yes, but nobody can say what happened.
        return _uncertain(
            tool, attempt, {"code": "tool.unreadable_answer", "message": f"the answer is not JSON: {unreadable}."}
        )
    if tool.success is not None and not tool.success.met(at(body, tool.success.path)):
        error = _vendor_error(tool, answer) | {"code": "tool.vendor_refused"}
        return AttemptResult("failed", error=error)
    return AttemptResult("succeeded", projected(tool, body))


def read_body(tool: Tool, answer: Answer, raw: bytes) -> Any:
    """A body as a JSON value. Raises ValueError when it should be JSON and is not."""
    if not raw:
        return None
    kind = (answer.header("content-type") or "").split(";")[0].strip().lower()
    if tool.answer == "json" or "json" in kind:
        return orjson.loads(raw)
    try:
        return {"content_type": kind, "text": raw.decode()}
    except UnicodeDecodeError:
        return {"content_type": kind, "bytes": len(raw)}


def projected(tool: Tool, body: Any) -> Any:
    """The projection a model sees; what is too large for a message stays in the ledger and is named by its size."""
    result = project(body, tool.projection)
    raw = orjson.dumps(result)
    if has_nul(raw):
        result = _without_nul(result)
    if len(raw) <= MAX_INLINE_BYTES:
        return result
    return {"truncated": True, "bytes": len(raw), "preview": raw[:2000].decode("utf-8", "replace")}


def storable(text: str) -> str:
    """Text as tables and messages take it: no NUL, no half characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    return value


def _busy(tool: Tool, answer: Answer) -> bool:
    """An earlier attempt with the same key is still in progress: this one did nothing, but that one may."""
    busy = tool.idempotency.busy if tool.idempotency else None
    if busy is None or busy.one_of is None:
        return False
    with contextlib.suppress(ValueError):
        return at(_json(answer.plain()), busy.path) in busy.one_of
    return False


def _uncertain(tool: Tool, attempt: int, error: dict[str, Any]) -> AttemptResult:
    if tool.effect == "once":
        return AttemptResult("unknown", error=error, in_doubt=True)
    result = replace(_again(attempt, 0.5 * 2**attempt, error), in_doubt=True)
    if result.state == "failed" and tool.effect == "keyed":
        return replace(result, state="unknown", error=error)
    return result


def _again(attempt: int, wait: float, error: dict[str, Any], *, throttled: bool = False) -> AttemptResult:
    if attempt >= MAX_ATTEMPTS:
        return AttemptResult("failed", error=error | {"attempts": attempt})
    return AttemptResult("requested", error=error, wait_seconds=wait, throttled=throttled)


def _retry_after(tool: Tool, answer: Answer) -> float:
    given = answer.header("retry-after")
    with contextlib.suppress(TypeError, ValueError):
        if not math.isnan(seconds := float(given or "")):
            return min(max(seconds, 0.05), 300.0)
    return tool.rate.pause_seconds if tool.rate else 1.0


def _vendor_error(tool: Tool, answer: Answer) -> dict[str, Any]:
    """Short, exact, repairable: the status and what the vendor said, found at the document's error paths."""
    try:
        raw = answer.plain()
    except ValueError:
        raw = answer.body
    body = _json(raw)
    said = [str(text) for path in tool.error_paths if isinstance(text := at(body, path), str | int) and text != ""]
    message = " · ".join(dict.fromkeys(said)) if said else raw[:300].decode("utf-8", "replace")
    return {"code": f"http.{answer.status}", "message": storable(message)[:1000], "status": answer.status}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
