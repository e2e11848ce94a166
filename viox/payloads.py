"""Commands that print whole what other commands only refer to: a large result, or the bytes that a vendor answered."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from shared.errors import BadInput, NotFound
from viox import deployment, identify, output, store


async def show_payload(payload_id: str, file: Path | None, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        row = await store.payload(pool, payload_id)
    finally:
        await pool.close()
    if as_json:
        names = ("payload_id", "call_id", "agent", "bytes", "media_type", "sha256", "whole")
        output.emit({name: row[name] for name in names} | {"content_base64": base64.b64encode(row["content"]).decode()})
        return
    _put_out(row["content"], file)


async def show_body(given: str, file: Path | None, *, as_json: bool) -> None:
    """The whole result of a call where it is a reference, else the last answer of its vendor, without its head."""
    pool = await deployment.pool()
    try:
        document = await store.call(pool, await identify.call(pool, given))
        reference = reference_in(document["result"])
        row = await store.payload(pool, reference["id"]) if reference else None
    finally:
        await pool.close()
    body = row["content"] if row else _last_body(document)
    if as_json:
        output.emit({"call_id": document["call_id"], "body_base64": base64.b64encode(body).decode()})
        return
    _put_out(body, file)


def reference_in(result: Any) -> dict[str, Any] | None:
    """What a result says of itself when it is kept apart."""
    found = result.get("$payload") if isinstance(result, dict) else None
    return found if isinstance(found, dict) and "id" in found else None


def _last_body(document: dict[str, Any]) -> bytes:
    if not document["response"]:
        raise NotFound(
            "call.no_answer",
            f"no answer of {document['tool']} is on record.",
            field="call",
            remedy="`viox call ID` tells why.",
        )
    return base64.b64decode(document["response"][-1]["body_base64"])


def _put_out(content: bytes, file: Path | None) -> None:
    """To the file as it is, and to a terminal without what would steer it."""
    if file is not None:
        try:
            file.write_bytes(content)
        except OSError as error:
            raise BadInput("option.invalid", f"{error}.", field="--output", remedy="Name a file to write.") from error
    elif sys.stdout.isatty():
        output.say(content.decode("utf-8", "replace"))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
