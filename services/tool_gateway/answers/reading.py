"""What a body says: to a model, about success, about an error. Pure, and of no effect: `outcome` decides what follows.

The bytes decide more than their type does: JSON is often sent as `text/html`, a page as `application/json`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from services.tool_gateway.answers import charsets, json_text
from services.tool_gateway.answers.answer import Answer, Hidden
from services.tool_gateway.answers.large import Large, outline
from services.tool_gateway.answers.paths import at, project
from services.tool_gateway.catalogue.tools import Success
from shared.bus.topics import MAX_INLINE_BYTES

MAX_MESSAGE = 1000
_LINES = re.compile(r"ndjson|jsonl|json-?lines|json-seq|json-stream|stream\+json|jsonstream")
_FORM = "application/x-www-form-urlencoded"
_TEXT_TYPE = re.compile(r"^text/|xml|json|javascript|yaml|csv|html|x-www-form-urlencoded|^multipart/|^message/")
_MARKUP = re.compile(r"\s*(?:<!--.*?-->\s*|<\?xml.*?\?>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_LISTED = re.compile(r":\s*[\[{]")
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1", re.I | re.S)
_TAG = re.compile(r"<[^>]*>")
_LONGEST_BLANK = 64
_NESTING = 150  # orjson writes 254 levels; a result gets some more around it on its way


@dataclass(frozen=True, slots=True)
class Form:
    """What a tool's document says about answers. `json`: nothing but JSON makes sense; `most_bytes`: more is not read."""

    json: bool
    projection: tuple[str, ...]
    success: Success | None
    error_paths: tuple[str, ...]
    busy: Success | None
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. `result` is what a model sees, or Large; `message` what it says to people.

    `problem`: why nobody can say what it means, with `page` when it is a web page in the place of JSON. `met`: whether
    the success condition is met; None when the answer does not say. `busy`: an earlier attempt is still in progress.
    """

    result: Any = None
    message: str = ""
    problem: str | None = None
    page: bool = False
    met: bool | None = None
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A body understood: `kind` none, json, lines (of JSON), text, page, bytes, or broken, when `value` says why."""

    kind: str
    value: Any = None


def read(form: Form, answer: Answer) -> Reading:
    """What an answer says."""
    if answer.hidden and answer.hidden.withheld:
        return _withheld(answer.hidden)
    if answer.cut or (len(answer.body) > form.most_bytes and not answer.encoded):
        return unread(answer, answer.body)
    try:
        raw = answer.plain()
    except ValueError as error:
        return Reading(message=_excerpt(answer.body), problem=f"{error}.")
    if len(raw) > form.most_bytes:
        return unread(answer, raw)
    try:
        body = understood(answer, raw, wants_json=form.json)
    except json_text.TooDeep:
        return unread(answer, raw)
    message = _message(form, body, raw)
    if body.kind == "broken":
        return Reading(message=message, problem=f"it cannot be read: {body.value}.")
    result = shown(body, form.projection)
    met = _met(form.success, body, answer.status)
    if body.kind == "page" and form.json:
        return Reading(result, message, f"it is a web page, not JSON: {message}.", page=True)
    return Reading(result, message, met=met, busy=_busy(form.busy, body))


def unread(answer: Answer, raw: bytes) -> Reading:
    """An answer that is too large, or nested too deep, to be read: kept as the text it is."""
    if raw is answer.body and answer.encoded:  # cut off inside its encoding: nobody can unfold it
        return Reading({"truncated": True, "bytes": len(raw)})
    text = charsets.decoded(raw, charsets.charset_of(answer.header("content-type"))).encode("utf-8", "replace")
    kind = answer.media_type or "text/plain"
    beginning = text[:1200].decode("utf-8", "ignore")
    return Reading(Large(text, kind, whole=not answer.cut), storable_text(beginning)[:300])


def _withheld(hidden: Hidden) -> Reading:
    """An answer of which nothing could be kept, as it holds something sensitive that could not be found."""
    message = f"{hidden.bytes:,} bytes, withheld because they may hold something sensitive"
    return Reading({"withheld": True, "bytes": hidden.bytes}, message, hidden.problem)


def understood(answer: Answer, raw: bytes, *, wants_json: bool) -> Body:
    """A body by what it is, whatever its type says. Raises TooDeep."""
    kind, charset = answer.media_type, charsets.charset_of(answer.header("content-type"))
    if _blank(raw, charset):
        return Body("none")
    if _LINES.search(kind):
        try:
            return Body("lines", json_text.lines_of(raw, charset))
        except json_text.TooDeep:
            raise
        except ValueError as error:
            return Body("broken", str(error))
    if kind == _FORM:
        return Body("json", _form(charsets.decoded(raw, charset)))
    if wants_json or "json" in kind:
        try:
            return Body("json", json_text.value_of(raw, charset))
        except json_text.TooDeep:
            raise
        except ValueError as error:
            problem = str(error)
        if "json" in kind or raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return _page(raw, charset) or Body("broken", problem)
    return _page(raw, charset, kind) or _text(raw, charset, kind)


def json_value(answer: Answer, most_bytes: int) -> Any:
    """The value that a look-up answers. Raises ValueError when it is none."""
    raw = answer.plain()
    if answer.hidden and answer.hidden.withheld:
        raise ValueError("it was withheld")
    if answer.cut or len(raw) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes:,} bytes")
    body = understood(answer, raw, wants_json=True)
    if body.kind not in ("json", "none"):
        raise ValueError(f"it is {body.kind}, not JSON")
    return body.value


def shown(body: Body, projection: tuple[str, ...]) -> Any:
    """What a model is shown of a body; Large when it is too much to travel."""
    if body.kind == "lines":
        return storable([project(item, projection) for item in body.value])
    made = storable(project(body.value, projection) if body.kind == "json" else body.value)
    if isinstance(made, Large) and body.kind in ("text", "page"):
        return Large(body.value["text"].encode("utf-8", "replace"), body.value["content_type"] or "text/plain")
    return made


def storable(result: Any) -> Any:
    """A result as tables and messages take it; Large when it is more than they take."""
    raw = _dumped(result)
    if raw is None:
        result = json_text.pruned(result)
        raw = orjson.dumps(result)
    if b"\\u0000" in raw:
        result = _without_nul(result)
        raw = orjson.dumps(result)
    if len(raw) <= MAX_INLINE_BYTES:
        return result
    return Large(raw, "application/json", outline=outline(result))


def storable_text(text: str) -> str:
    """Text as tables and messages take it: no NUL, no half characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _dumped(result: Any) -> bytes | None:
    """The result as JSON; None when it is nested deeper than everything on its way bears."""
    around = result
    for _ in range(_NESTING):
        around = [around]
    try:
        return orjson.dumps(around)[_NESTING:-_NESTING]
    except TypeError:
        return None


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    return value


def _blank(raw: bytes, charset: str | None) -> bool:
    """Nothing, or nothing but white space, which some vendors send beside a Content-Type."""
    if not raw.strip(b" \t\r\n\0"):
        return True
    return len(raw) <= _LONGEST_BLANK and not charsets.decoded(raw, charset).strip(" \t\r\n\0\ufeff")


def _page(raw: bytes, charset: str | None, kind: str = "") -> Body | None:
    """A web page, or what a script of one wrote when it broke; None when it is neither."""
    start = charsets.decoded(raw[:4096], charset)
    if not _MARKUP.match(start) and not ("html" in kind and start.lstrip("\ufeff \t\r\n").startswith("<")):
        return None
    text = charsets.decoded(raw, charset or charsets.declared_inside(raw))
    return Body("page", {"content_type": kind or "text/html", "text": text})


def _text(raw: bytes, charset: str | None, kind: str) -> Body:
    """Text by its charset; what is no text is named by its size."""
    if not charset and not _TEXT_TYPE.search(kind):
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            if not kind:
                return Body("broken", "it is no text, and has no type")
            return Body("bytes", {"content_type": kind, "bytes": len(raw)})
        return Body("text", {"content_type": kind, "text": text})
    inside = charsets.declared_inside(raw) if "xml" in kind or raw.lstrip().startswith(b"<?xml") else None
    return Body("text", {"content_type": kind, "text": charsets.decoded(raw, charset or inside)})


def _form(text: str) -> dict[str, Any]:
    """A form as an object; a name that is given several times has a list."""
    fields = parse_qs(text.strip(), keep_blank_values=True, errors="replace")
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _met(condition: Success | None, body: Body, status: int) -> bool | None:
    if condition is None:
        return True
    if body.kind == "none" and status in (204, 205):
        return True  # there is nothing to say
    if body.kind not in ("json", "none"):
        return None
    found = at(body.value, condition.path)
    if found is None and condition.one_of is not None:
        return None
    return condition.met(found)


def _busy(condition: Success | None, body: Body) -> bool:
    if condition is None or condition.one_of is None or body.kind != "json":
        return False
    return at(body.value, condition.path) in condition.one_of


def _message(form: Form, body: Body, raw: bytes) -> str:
    """Short, exact, repairable: what the vendor says at the document's error paths, or else the beginning of it all."""
    if body.kind == "page":
        heading = _TITLE.search(body.value["text"])
        words = heading[2] if heading else body.value["text"]
        return storable_text(" ".join(html.unescape(_TAG.sub(" ", words)).split()))[:300]
    value = body.value if body.kind == "json" else None
    said = [
        _in_words(text) for path in form.error_paths if isinstance(text := at(value, path), str | int) and text != ""
    ]
    if said:
        return storable_text(" · ".join(dict.fromkeys(said)))[:MAX_MESSAGE]
    if body.kind == "text":
        return storable_text(body.value["text"][:300])
    return _excerpt(raw)


def _in_words(text: str | int) -> str:
    """A sentence that ends in JSON (`…were not valid: [{"message": "…", …}]`) with what that says in its place."""
    told = str(text)
    begins = _LISTED.search(told)
    if begins is None:
        return told
    try:
        found = orjson.loads(told[begins.end() - 1 :])
    except orjson.JSONDecodeError:
        return told
    inner = [
        one.get("message") if isinstance(one, dict) else None for one in (found if isinstance(found, list) else [found])
    ]
    if not inner or not all(isinstance(one, str) and one for one in inner):
        return told
    return f"{told[: begins.start()]}: {'; '.join(str(one) for one in inner)}"


def _excerpt(raw: bytes) -> str:
    return storable_text(charsets.decoded(raw[:1200], None))[:300]
