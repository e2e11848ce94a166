"""Reading on in a result that travelled by reference: a part of its text, or what stands at a JSON path.

A run reads what its own agent's calls were given, and what runs that were started from it were given. The child says who
its parent is, so the link opens what the child has to the parent, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonpath_rfc9535
import orjson
from jsonpath_rfc9535 import JSONPathError

from services.tool_gateway.answers.apart import SMALL_BYTES, read_apart
from services.tool_gateway.answers.large import outline
from shared.errors import BadInput, NotFound
from shared.ids import is_run_of
from shared.store.pool import Pool
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_name("payloads.sql"))
DEFAULT_LENGTH = 20_000
MOST_LENGTH = 40_000  # a text of control characters is six times as long in JSON, and still travels
MOST_FOUND = 1000
MOST_GENERATIONS = 10
_PATTERNS = ("match(", "search(")  # patterns of a model's own could take for ever


async def read(pool: Pool, given: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a payload that a call asks for. Raises NotFound, BadInput."""
    row = await pool.fetchrow(*SQL.bind("payload", call=given["call_id"], payload=given["id"]))
    if row is None or not await _may_read(pool, row):
        raise NotFound(
            "payload.not_found",
            f"there is no payload {given['id']!r} among the results of this run and of your own calls.",
            field="id",
            remedy="Use the id of a $payload in a result of yours.",
        )
    if not row["kept"]:
        raise NotFound(
            "payload.expired", "it is not kept any more.", field="id", remedy="Make the call again that was given it."
        )
    start, length = int(given.get("offset") or 0), int(given.get("length") or DEFAULT_LENGTH)
    if path := given.get("path"):
        return await _at(pool, row, path, start, length)
    chunk = await pool.fetchval(*SQL.bind("chunk", sha256=row["sha256"], start=start + 1, length=length + 4))
    return {"id": row["payload_id"], "media_type": row["media_type"]} | _part(chunk, start, length, row["bytes"])


async def _may_read(pool: Pool, row: Any) -> bool:
    return row["agent"] == row["asking_agent"] or await _descends(pool, row)


async def _descends(pool: Pool, row: Any) -> bool:
    """Whether the run that was given it was started from the asking one. Anyone may write a row under another's run id, so
    that only rows count whose id is derived from their own agent."""
    rows = await pool.fetch(*SQL.bind("ancestors", run=row["run_id"], agent=row["agent"], most=MOST_GENERATIONS))
    genuine = {one["run_id"]: one["parent_run_id"] for one in rows if _is_own(one)}
    at: UUID | None = row["run_id"]
    for _ in range(MOST_GENERATIONS):
        at = genuine.get(at) if at else None
        if at == row["asking_run"]:
            return True
    return False


def _is_own(run: Any) -> bool:
    return is_run_of(run["run_id"], run["agent"], run["trigger_source"], run["trigger_id"])


async def _at(pool: Pool, row: Any, path: str, start: int, length: int) -> dict[str, Any]:
    """The value at a JSON path; its text in parts when it is longer than was asked for."""
    content: bytes = await pool.fetchval(*SQL.bind("content", sha256=row["sha256"]))
    try:
        if len(content) <= SMALL_BYTES:
            found, shape = selected(content, path)
        else:
            found, shape = await read_apart(selected, content, path)
    except ValueError as error:
        raise BadInput(
            "payload.path", f"{error}.", field="path", remedy="For instance $.results[0].id; or read by offset."
        ) from error
    told: dict[str, Any] = {"id": row["payload_id"], "path": path}
    if len(found) <= length and not start:
        return told | {"value": orjson.loads(found)}
    return told | {"outline": shape} | _part(found[start : start + length + 4], start, length, len(found))


def selected(content: bytes, path: str) -> tuple[bytes, dict[str, str]]:
    """What stands at a path, as JSON, and its outline: one value for a path to one, else a list. Raises ValueError."""
    if any(name in path for name in _PATTERNS):
        raise ValueError("patterns are not looked for in payloads")
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error})") from error
    try:
        query = jsonpath_rfc9535.compile(path)
        values = [node.value for node in islice(query.finditer(value), MOST_FOUND + 1)]
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"{path!r} cannot be followed: {error}") from error
    if not values:
        raise ValueError(f"nothing stands at {path!r}")
    if len(values) > MOST_FOUND:
        raise ValueError(f"more than {MOST_FOUND:,} values stand at {path!r}")
    found = values[0] if query.singular_query() else values
    return orjson.dumps(found), outline(found)


def _part(chunk: bytes, start: int, length: int, size: int) -> dict[str, Any]:
    """A part of a text. `chunk` begins at `start` and is a little longer than the part, which begins and ends between
    characters: reading on at `next_offset` gives every character once."""
    begin = _between(chunk, 0)
    end = len(chunk) if len(chunk) <= length else _between(chunk, length)
    text = chunk[begin:end].decode("utf-8", "replace").replace("\x00", "\ufffd")
    following = start + end
    return {
        "text": text,
        "offset": start + begin,
        "bytes": size,
        "next_offset": following if following < size else None,
    }


def _between(chunk: bytes, place: int) -> int:
    """The first place from here on at which a character begins."""
    while place < len(chunk) and chunk[place] & 0xC0 == 0x80:
        place += 1
    return place
