"""What connectors to our own Postgres share: requests that name a statement, answers as a vendor would give them."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.wire.prepared import Prepared


def statement_of(tool: Tool) -> str:
    """The last part of a tool's path."""
    return tool.path.rsplit("/", 1)[-1]


def request_for(tool: Tool, arguments: Mapping[str, Any], key: str, scheme: str) -> Prepared:
    """The statement of a tool with its arguments, defaults included, and the id of the call."""
    given = {p.argument: arguments.get(p.argument, p.default) for p in tool.parameters}
    given |= dict(tool.body.defaults) if tool.body else {}
    body = given | dict(arguments) | {"call_id": key}
    return Prepared("SQL", f"{scheme}:/{statement_of(tool)}", [], orjson.dumps(body))


def answered(found: Any) -> Answer:
    return Answer(200, [("content-type", "application/json")], orjson.dumps(found, default=_plain))


def refused(code: str, message: str, hint: str | None) -> Answer:
    """It will not do, however often it is asked."""
    body = {"message": message, "code": code, "hint": hint}
    return Answer(422, [("content-type", "application/json")], orjson.dumps(body))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | UUID | datetime.timedelta):
        return str(value)
    if isinstance(value, asyncpg.Record):
        return dict(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
