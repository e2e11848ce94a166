"""What agents ask of each other, of the clock and of people: rows in our own Postgres. The work is in `office/`.

An answer of 202 says that the call is made and its end still to come: `office.desk` writes it when it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.office import delegation, timers
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent
from shared.errors import BadInput, VioxError
from shared.store.pool import Pool, is_transient

DONE, LATER = 200, 202


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """The call as it is carried out: what is asked (the last part of the tool's path), for which call."""
    name = tool.path.rsplit("/", 1)[-1]
    return Prepared("ASK", f"office:/{name}", [], orjson.dumps(dict(arguments) | {"call_id": key}))


class Office:
    """Carries out what is asked, each in one transaction. A repeat finds what the first did and does nothing more."""

    def __init__(self, pool: Pool, zone: ZoneInfo, most_depth: int = delegation.DEFAULT_DEPTH) -> None:
        """`zone` is the business's own; `most_depth` so many agents wait for each other in a row."""
        self._pool = pool
        self._zone = zone
        self._most_depth = most_depth

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """Raises NotSent for what is refused, and MaybeSent when Postgres did not say how it ended."""
        name, given = prepared.url.rsplit("/", 1)[-1], orjson.loads(prepared.body)
        await gate()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                status, told = await self._done(connection, name, given)
        except VioxError as error:
            refused = NotSent(error.code, error.message, field=error.field, remedy=error.remedy)
            refused.final = True
            raise refused from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            if not is_transient(error):
                raise _final("office.refused", f"{type(error).__name__}: {error}.") from error
            raise MaybeSent("postgres.no_answer", f"{type(error).__name__}: {error}.") from error
        return Answer(status, [("content-type", "application/json")], orjson.dumps(told))

    async def _done(self, connection: Any, name: str, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        match name:
            case "task_delegate":
                return LATER, await delegation.delegate(connection, given, self._most_depth)
            case "wait_until":
                come, told = await timers.wait(connection, given, self._zone)
                return DONE if come else LATER, told
            case "timer_set":
                return DONE, await timers.set_timer(connection, given, self._zone)
            case "timer_cancel":
                return DONE, await timers.cancel_timer(connection, given)
            case "timer_list":
                return DONE, await timers.list_timers(connection, given)
        raise BadInput("office.unknown", f"{name!r} is not carried out here.", field="path")


def _final(code: str, message: str) -> NotSent:
    made = NotSent(code, message)
    made.final = True
    return made
