"""What callers are answered: how their call stands, or RFC 9457 for what it did not become. Each but a success has in `say` a
sentence that a voice can speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from services.tool_gateway.http.requests import problem
from services.tool_gateway.live import words
from services.tool_gateway.live.waiting import Standing
from shared.errors import VioxError
from shared.store.pool import dumps

AGAIN_SECONDS = 5
FAILED = 424  # the call was made as asked for, and what it depends on said no
DENIED: Final[Mapping[str, int]] = {
    "tool.not_found": 404,
    "tool.invalid_arguments": 422,
    "tool.arguments_too_large": 413,
    "tool.duplicate_in_doubt": 409,
    "tool.same_call": 409,
    "run.over": 409,
}


def of_call(standing: Standing, *, unanswering: bool = False) -> web.Response:
    """200 for a success, 202 while it is open, else a problem with how it ended. `unanswering`: its vendor is left alone."""
    known = {"call_id": standing.call_id, "run_id": str(standing.run_id), "state": standing.state}
    if standing.state == "succeeded":
        return web.json_response(known | {"result": standing.result}, dumps=dumps)
    said = sentence(standing, unanswering=unanswering)
    if not standing.ended:
        open_call = known | {"say": said}
        return web.json_response(open_call, status=202, dumps=dumps, headers={"Retry-After": str(AGAIN_SECONDS)})
    return problem(status_of(standing.state, standing.error), dict(standing.error or {}), known | {"say": said})


def of_refusal(status: int, error: VioxError, retry_after: float | None = None) -> web.Response:
    """A request that became no call."""
    headers = {"WWW-Authenticate": 'Bearer realm="viox"'} if status == 401 else {}
    told = error.as_dict()
    return problem(status, told, {"say": words.say("refused", told)}, retry_after=retry_after, headers=headers)


def sentence(standing: Standing, *, unanswering: bool = False) -> str:
    """What a voice says."""
    if standing.state == "requested" and standing.paused:
        return words.PAUSED
    if standing.state == "requested" and (unanswering or standing.error):  # an attempt has come to nothing
        return words.NO_ANSWER
    return words.say(standing.state, standing.error)


def status_of(state: str, error: Mapping[str, Any] | None) -> int:
    """The status of a call that ended without success."""
    code = str((error or {}).get("code"))
    if state != "denied":
        return FAILED if state == "failed" else 403
    if code.startswith("credential."):
        return 503
    return DENIED.get(code, 422 if (error or {}).get("field") else 403)
