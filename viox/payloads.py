"""Commands that print whole what other commands only refer to: a large result, or the bytes that a vendor answered."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from shared.errors import BadInput
from shared.operations import identify, payloads, store
from viox import deployment, output


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
        body = await payloads.body(pool, document)
    finally:
        await pool.close()
    if as_json:
        output.emit({"call_id": document["call_id"], "body_base64": base64.b64encode(body).decode()})
        return
    _put_out(body, file)


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
