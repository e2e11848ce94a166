"""What an answer means: succeeded, failed, to be tried again, or unknown. Pure: rule 9 of the design as a table.

nothing left (NotSent)                          any effect: try again, later failed for certain
401 with an access token of OAuth               sent once more with a new token, then as below
2xx, success condition met                      succeeded
    2xx that cannot be read (cut, a web page at     as an answer that never came: the look-up, or a person, decides
    200 where only JSON makes sense) or does not
    say what the condition asks for
    2xx with anything else readable by its type     succeeded, with its text
    2xx, too large to be read                       succeeded, with its beginning
202 of a tool whose answer comes later          made: it waits for its end, which no attempt of its own brings
2xx, success condition not met                  failed (the vendor said so)
400 401 403 404 409 422 … (nothing happened)    failed, final
304, 307, 308 (do it elsewhere: not done here)  failed, final
other 3xx (the answer is elsewhere)             read: failed, final; others: as an answer that never came
429, and 403 that says when to come back        nothing happened: wait, try again, later failed
sent without an answer, 408, 5xx                read, idempotent: try again, later failed
                                                keyed: try again with the same bytes, later unknown; a repeat that
                                                is not let in (401, 403, 429, not sent) ends as unknown, too; so does
                                                409 or 422 of a vendor that does not say what it means by them
                                                once: unknown, never again blindly
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.apart import is_large, read_apart
from services.tool_gateway.answers.reading import MAX_MESSAGE, Body, Form, Reading, read, shown, storable_text, unread
from services.tool_gateway.answers.retry_after import (
    LONGEST_SECONDS,
    is_for_haste,
    seconds_to_wait,
    seconds_until_reset,
)
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.transport import NotSent
from shared.errors import VioxError
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

# A vendor that answers so has done nothing (RFC 9110, section 15.5; RFC 4918, 6585, 7725, 8470; 409 and 422 by every
# vendor of the catalogue).
NOTHING_HAPPENED = frozenset(
    {400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417}
    | {421, 422, 423, 424, 425, 426, 428, 431, 451}
)
NOT_LET_IN = frozenset({401, 403, 407, 429})
OF_REPEATS = frozenset({409, 422})
# Statuses that somebody in between does not answer with: a page beside them is the vendor's own.
VENDORS_OWN = frozenset({201, 202, 204, 205, 207})
MAX_ATTEMPTS = 5
LIMITS_LAST_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 64.0
MAX_LATER_ATTEMPTS = 8  # of what is told to come back later: with a minute at first they go over half an hour


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """`state` succeeded, failed, unknown or requested (again in `wait_seconds`; `throttled` when the vendor asked).

    `in_doubt`: this attempt may have taken effect. `deferred`: it did what it could, and the call's end is still to come.
    """

    state: str
    result: Any = None
    error: dict[str, Any] | None = None
    wait_seconds: float = 0.0
    throttled: bool = False
    in_doubt: bool = False
    deferred: bool = False


def form_of(tool: Tool) -> Form:
    """What the tool's document says about its answers."""
    busy = tool.idempotency.busy if tool.idempotency else None
    wants_json = tool.answer == "json"
    return Form(wants_json, tool.projection, tool.success, tool.error_paths, busy, tool.max_answer_bytes)


async def reading_of(tool: Tool, answer: Answer) -> Reading:
    """What an answer says. A large one is read apart, and the loop goes on meanwhile."""
    form = form_of(tool)
    if not is_large(answer, form.most_bytes):
        return read(form, answer)
    try:
        return await read_apart(read, form, answer)
    except ValueError as error:
        log.warning("answer.not_read", tool=tool.name, bytes=len(answer.body), error=error)
        return unread(answer, answer.body)


def of_answer(tool: Tool, answer: Answer, attempt: int, reading: Reading | None = None) -> AttemptResult:
    """What a complete response means for the call. `reading` is given where it was read elsewhere."""
    if answer.status in tool.empty_statuses:
        return AttemptResult("succeeded", None)
    if tool.deferred and answer.status == 202:
        return AttemptResult("requested", deferred=True)
    reading = reading or read(form_of(tool), answer)
    if 200 <= answer.status < 300:
        return _of_success(tool, answer.status, reading, attempt)
    error = {"code": f"http.{answer.status}", "message": reading.message, "status": answer.status}
    now = datetime.now(UTC)
    asked = seconds_to_wait(answer.header, now)
    if reading.busy:
        return _uncertain(tool, attempt, error, asked)
    if of_haste(answer):
        until = seconds_until_reset(answer.header, reading.message, now)
        return _again(attempt, until or _pause(tool, attempt), error, throttled=True)
    if _done_elsewhere(tool, answer.status):
        return _uncertain(tool, attempt, error)
    if answer.status in NOTHING_HAPPENED or answer.status in tool.harmless_statuses or 300 <= answer.status < 400:
        return AttemptResult("failed", error=error)
    return _uncertain(tool, attempt, error, asked)


def of_haste(answer: Answer) -> bool:
    """The vendor did nothing because we ask too often."""
    return answer.status == 429 or (answer.status == 403 and is_for_haste(answer.header))


def projected(tool: Tool, body: Any) -> Any:
    """What a model is shown of a JSON value."""
    return shown(Body("json", body), tool.projection)


def of_not_sent(attempt: int, error: NotSent) -> AttemptResult:
    """Nothing left: safe to try again whatever the effect, where that can help."""
    told = {"code": error.code, "message": storable_text(error.message)}
    if error.final:
        return AttemptResult("failed", error=error.as_dict() | {"message": told["message"]})
    if error.wait_seconds is None:
        return _again(attempt, 0.2 * 2**attempt, told)
    wait = min(error.wait_seconds * 2 ** (attempt - 1), LONGEST_SECONDS)
    return _again(attempt, wait, told, throttled=error.throttled, most=MAX_LATER_ATTEMPTS)


def of_maybe_sent(tool: Tool, attempt: int, error: VioxError) -> AttemptResult:
    """The request may have been carried out."""
    return _uncertain(tool, attempt, {"code": error.code, "message": storable_text(error.message)})


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


def _of_success(tool: Tool, status: int, reading: Reading, attempt: int) -> AttemptResult:
    """The status says yes. What cannot be read, or does not say what it should, may come from somebody in between."""
    if reading.problem and not (reading.page and status in VENDORS_OWN and tool.success is None):
        return _uncertain(tool, attempt, _error("tool.unreadable_answer", f"{status}, but {reading.problem}", status))
    if tool.success is not None and reading.met is None:
        message = f"{status}, but the answer does not say {tool.success.path}: {reading.message}"
        return _uncertain(tool, attempt, _error("tool.unreadable_answer", message, status))
    if tool.success is not None and not reading.met:
        return AttemptResult("failed", error=_error("tool.vendor_refused", reading.message, status))
    return AttemptResult("succeeded", reading.result)


def _error(code: str, message: str, status: int) -> dict[str, Any]:
    return {"code": code, "message": message[:MAX_MESSAGE], "status": status}


def _uncertain(tool: Tool, attempt: int, error: dict[str, Any], asked: float | None = None) -> AttemptResult:
    """The request may have been carried out. Who may be asked again is asked when the vendor wants it, if it says so."""
    if tool.effect == "once":
        return AttemptResult("unknown", error=error, in_doubt=True)
    result = replace(_again(attempt, max(0.5 * 2**attempt, asked or 0.0), error), in_doubt=True)
    if result.state == "failed" and tool.effect == "keyed":
        return replace(result, state="unknown", error=error)
    return result


def _again(
    attempt: int, wait: float, error: dict[str, Any], *, throttled: bool = False, most: int | None = None
) -> AttemptResult:
    if attempt >= (most or MAX_ATTEMPTS):
        return AttemptResult("failed", error=error | {"attempts": attempt})
    return AttemptResult("requested", error=error, wait_seconds=wait, throttled=throttled)


def _pause(tool: Tool, attempt: int) -> float:
    """After a refusal for haste that does not say how long: all attempts together last longer than a minute, for which
    most limits are set. A pause with which they do anyway is the vendor's own, and is not lengthened."""
    first = tool.rate.pause_seconds if tool.rate else 1.0
    if first * (MAX_ATTEMPTS - 1) >= LIMITS_LAST_SECONDS:
        return first
    return float(min(first * 4 ** (attempt - 1), LONGEST_PAUSE_SECONDS))
