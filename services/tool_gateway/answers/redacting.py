"""Answers without their sensitive values, before anything is kept, read or told of them. Pure.

Where nothing sensitive is in an answer it stays byte for byte. Where something is, the body is written anew without it. Where
it cannot be looked for (no JSON, cut off, nested too deep) the whole body is withheld: but for the errors of proxies and
servers, which come in words and are no answer of the operation.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson

from services.tool_gateway.answers import json_text
from services.tool_gateway.answers.answer import Answer, Hidden
from services.tool_gateway.answers.marks import Marks
from services.tool_gateway.answers.reading import Body, understood
from shared.telemetry.digest import sha256_bytes

ENCODING_HEADERS = (
    "content-encoding",
    "content-length",
    "content-type",
    "etag",
    "content-md5",
    "digest",
    "repr-digest",
)
UNFINDABLE = "what is sensitive in it could not be looked for"


def redacted(answer: Answer, marks: Marks, wants_json: bool) -> Answer:
    """The answer without what the marks say. The same object when nothing of it is in there."""
    if not answer.body:
        return answer
    if answer.cut:
        return withheld(answer)
    try:
        body = understood(answer, answer.plain(), wants_json=wants_json)
    except json_text.TooDeep:
        return withheld(answer)
    except ValueError as error:
        return withheld(answer, f"{error}.")
    if body.kind == "none":
        return answer
    if body.kind in ("json", "lines"):
        return _without_values(answer, body, marks)
    if not 200 <= answer.status < 300 and body.kind != "broken":
        return answer
    reason = body.value if body.kind == "broken" else f"it is {body.kind}, not JSON"
    return withheld(answer, f"{reason}." if wants_json or body.kind == "broken" else None)


def withheld(answer: Answer, problem: str | None = None) -> Answer:
    """Nothing of the body. `problem`: why it cannot be read, where it could not have been read anyway."""
    hidden = Hidden(0, sha256_bytes(answer.body), len(answer.body), withheld=True, problem=problem)
    return replace(answer, headers=_headers(answer, "text/plain"), body=b"", cut=False, hidden=hidden)


def _without_values(answer: Answer, body: Body, marks: Marks) -> Answer:
    if body.kind == "lines":
        found = [marks.redacted(line) for line in body.value]
        count = sum(number for _, number in found)
        written, kind = b"\n".join(_dumped(line) for line, _ in found) if count else b"", answer.media_type
    else:
        value, count = marks.redacted(body.value)
        written, kind = _dumped(value) if count else b"", "application/json"
    if not count:
        return answer
    hidden = Hidden(count, sha256_bytes(answer.body), len(answer.body))
    return replace(answer, headers=_headers(answer, kind), body=written, hidden=hidden)


def _headers(answer: Answer, kind: str) -> list[tuple[str, str]]:
    """Those that still say what the body is."""
    kept = [(name, value) for name, value in answer.headers if name.lower() not in ENCODING_HEADERS]
    return [*kept, ("Content-Type", kind)]


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # nested deeper than it writes
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
