"""Errors as pages: what went wrong and what to do, in the status that browsers and tests expect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.console.forms import NotAllowed
from services.console.views import problem
from shared.errors import BadInput, Conflict, NotFound, VioxError
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
_STATUS: tuple[tuple[type[VioxError], int], ...] = (
    (NotAllowed, 403),
    (NotFound, 404),
    (Conflict, 409),
    (BadInput, 400),
)


async def ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, VioxError)  # noqa: S101  # the handler of these only
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    return await problem(request, status, error.message, _remedy(error))


async def of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    told = "there is no such page." if error.status_code == 404 else f"{error.detail}."
    return await problem(request, error.status_code, told, None)


async def of_postgres(request: Request, error: Exception) -> Response:
    log.error("console.postgres_failed", error=error)
    return await problem(request, 503, "the database does not answer.", "Try again in a moment.")


async def unforeseen(request: Request, error: Exception) -> Response:
    """The server logs it with its trace."""
    return await problem(request, 500, "the console made a mistake.", "What it was stands in its log.")


def _remedy(error: VioxError) -> str | None:
    """Remedies of the command line name its commands and options, which are of no use here."""
    remedy = error.remedy or None
    return None if remedy and ("viox" in remedy or "--" in remedy) else remedy


HANDLERS: dict[Any, Callable[[Request, Exception], Any]] = {
    VioxError: ours,
    HTTPException: of_http,
    asyncpg.PostgresError: of_postgres,
    asyncpg.InterfaceError: of_postgres,
    OSError: of_postgres,
    Exception: unforeseen,
}
