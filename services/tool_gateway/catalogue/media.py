"""Media types: the one of those offered in which a body is sent, and what answers are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from services.tool_gateway.catalogue.schema import Unresolvable, deref

Kind = Literal["json", "form", "multipart", "text"]
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# What can stand in a header: type, subtype or wildcard, parameters.
WRITABLE = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+(\s*;[ -~]*)?", re.ASCII)
LINES = ("json-seq", "ndjson", "jsonl", "jsonlines", "json-lines", "x-json-stream", "stream+json")
NO_JSON = ("jsonpath", "json5", "jsonp")
SUCCESS = re.compile(r"2(\d\d|XX)", re.IGNORECASE)


def plain(media_type: str) -> str:
    """Without parameters, in small letters."""
    return media_type.split(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """One JSON value, whatever it is called; lines of JSON are something else."""
    name = plain(media_type)
    _, _, subtype = name.partition("/")
    if subtype in NO_JSON or any(subtype.removeprefix("x-").startswith(one) or subtype.endswith(one) for one in LINES):
        return False
    return subtype in ("json", "x-json") or subtype.endswith("+json") or subtype == "javascript+json"


def for_body(content: Mapping[str, Any]) -> tuple[str, Kind]:
    """The media type that a plain value is best sent in, and its kind. Raises ValueError when there is none.

    Plain JSON before JSON under another name, both before forms; a patch only where it is the only way.
    """
    offered = [one for one in content if isinstance(one, str) and WRITABLE.fullmatch(one.strip())]
    ranked = sorted(
        ((rank, n, kind) for n, one in enumerate(offered) for rank, kind in _ways(one)), key=lambda w: w[:2]
    )
    if not ranked:
        raise ValueError(f"a body of type {', '.join(map(str, content))} cannot be written; another type is needed")
    _, which, kind = ranked[0]
    return offered[which], kind


def _ways(media_type: str) -> list[tuple[int, Kind]]:
    name = plain(media_type)
    if name == "application/json":
        return [(0 if media_type.strip().lower() == name else 1, "json")]
    if is_json(name):
        return [(7 if "patch" in name else 3 if name.startswith("application/") else 2, "json")]
    found: dict[str, tuple[int, Kind]] = {
        FORM: (4, "form"),
        MULTIPART: (5, "multipart"),
        "text/plain": (6, "text"),
        "*/*": (8, "json"),
        "application/*": (8, "json"),
    }
    return [found[name]] if name in found else []


def accepted(
    document: Mapping[str, Any], operation: Mapping[str, Any], *, ours: bool
) -> tuple[str, Literal["json", "any"]]:
    """What answers we ask for, and whether they must be JSON. A vendor's document that lists none speaks JSON.

    What `default` answers counts only where no success is described: it is an error's, mostly.
    """
    kinds = answer_types(document, operation)
    if not kinds:
        return "application/json", "json" if ours else "any"
    best = min(kinds, key=_answer_rank)
    told: Literal["json", "any"] = "json" if all(is_json(kind) for kind in kinds) else "any"
    return ("application/json, */*;q=0.5" if plain(best) in ("*/*", "application/*") else best.strip()), told


def _answer_rank(media_type: str) -> int:
    name = plain(media_type)
    if name == "application/json":
        return 0 if media_type.strip().lower() == name else 1
    if is_json(name):
        return 6 if "problem" in name else 2
    if "json" in name:
        return 3
    return 4 if name in ("*/*", "application/*") else 5


def answer_types(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[str]:
    """Media types of the answers that mean success, in the document's order."""
    responses = operation.get("responses")
    given = responses if isinstance(responses, Mapping) else {}
    successes = [raw for status, raw in given.items() if SUCCESS.fullmatch(str(status))]
    found = _types(document, successes)
    return found or _types(document, [raw for status, raw in given.items() if status == "default"])


def _types(document: Mapping[str, Any], responses: Iterable[Any]) -> list[str]:
    kinds = [kind for raw in responses for kind in response_content(document, raw)]
    return [kind for kind in dict.fromkeys(kinds) if WRITABLE.fullmatch(kind.strip())]


def response_content(document: Mapping[str, Any], raw: Any) -> list[str]:
    """Media types of one response; none where it cannot be read: no request needs it."""
    try:
        response = deref(document, raw)
    except Unresolvable:
        return []
    content = response.get("content") if isinstance(response, Mapping) else None
    return [kind for kind in content if isinstance(kind, str)] if isinstance(content, Mapping) else []
