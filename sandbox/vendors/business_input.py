"""What the back office understands of a request: bodies by their media type, rules of fields, filters of lists."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiohttp import web
from aiohttp.web_request import FileField

from sandbox.vendors.business_tables import Resource, Rule

KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "num": (int, float), "bool": (bool,)}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, errors: list[str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors or []


async def body(request: web.Request, accepted: tuple[str, ...], rule: Rule) -> Any:
    """The body as a value the rule allows; None where the operation takes no body."""
    if rule is None:
        return None
    if request.content_type not in accepted:
        raise Refused(415, f"send {' or '.join(accepted)}")
    if request.content_type == "text/plain":
        value: Any = await request.text()
    elif request.content_type.endswith("json"):
        value = await request.json()
    else:
        value = _fields(await request.post(), rule)
    if not value:
        raise Refused(422, "the body is empty")
    partial = request.method == "PATCH"
    if errors := problems(rule, value, "body", partial):
        raise Refused(422, "the body is invalid", errors)
    return value


def problems(rule: Rule, value: Any, where: str, partial: bool = False) -> list[str]:
    """What is wrong with a value; `partial` lets required names be missing."""
    if isinstance(rule, tuple):
        name, variants = rule
        kind = value.get(name) if isinstance(value, dict) else None
        if kind not in variants:
            return [f"{where}.{name}: one of {', '.join(variants)}"]
        return problems(variants[kind], value, where, partial)
    if isinstance(rule, list):
        if not isinstance(value, list):
            return [f"{where}: an array is wanted"]
        return [p for number, item in enumerate(value) for p in problems(rule[0], item, f"{where}[{number}]")]
    if isinstance(rule, dict):
        return _of_object(rule, value, where, partial)
    if rule == "any":
        return []
    if rule not in KINDS:
        return [] if value in rule.split("|") else [f"{where}: one of {rule.replace('|', ', ')}"]
    right = isinstance(value, KINDS[rule]) and (rule == "bool" or not isinstance(value, bool))
    return [] if right else [f"{where}: {rule} is wanted"]


def _of_object(rule: dict[str, Rule], value: Any, where: str, partial: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: an object is wanted"]
    rules = {name.rstrip("!?"): (inner, name.endswith("?")) for name, inner in rule.items()}
    found = [f"{where}.{name}: is not known" for name in value.keys() - rules.keys()]
    if not partial:
        required = {name[:-1] for name in rule if name.endswith("!")}
        found += [f"{where}.{name}: is missing" for name in sorted(required - value.keys())]
    for name in value.keys() & rules.keys():
        inner, nullable = rules[name]
        if value[name] is not None or not nullable:
            found += problems(inner, value[name], f"{where}.{name}")
    return found


def _fields(form: Any, rule: dict[str, Rule]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in dict.fromkeys(form):
        inner = rule.get(name, rule.get(f"{name}!", rule.get(f"{name}?", "any")))
        values = [_field(value, inner[0] if isinstance(inner, list) else inner) for value in form.getall(name)]
        made[name] = values if isinstance(inner, list) else values[-1]
    return made


def _field(value: Any, rule: Rule) -> Any:
    """One part of a form: a file as what is known of it, a number or an object out of its text."""
    if isinstance(value, FileField):
        content = value.file.read()
        return {
            "filename": value.filename,
            "size": len(content),
            "content_type": value.content_type,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    text = value if isinstance(value, str) else bytes(value).decode()
    if isinstance(rule, dict) or rule in ("int", "num", "bool"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def matrix(text: str) -> dict[str, str]:
    """`;lat=1;lng=2` as names and values."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)


def whole(request: web.Request, name: str, default: int, most: int) -> int:
    """A number of the query from 1 to `most`."""
    text = request.query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise Refused(400, f"{name} is from 1 to {most}")
    return int(text)


def wanted(rows: list[dict[str, Any]], resource: Resource, request: web.Request) -> list[dict[str, Any]]:
    """The rows that pass every filter the request has."""
    for name, written, field in resource.filters:
        rows = _filtered(rows, name, written, field, request)
    return rows


def _filtered(
    rows: list[dict[str, Any]], name: str, written: str, field: str, request: web.Request
) -> list[dict[str, Any]]:
    query = request.query
    match written:
        case "deep":
            asked = {key[len(name) + 1 : -1]: value for key, value in query.items() if key.startswith(f"{name}[")}
        case "json":
            try:
                asked = json.loads(query.get(name, "{}"))
            except ValueError:
                raise Refused(400, f"{name} is JSON") from None
        case "cookie":
            if name not in request.cookies:
                raise Refused(400, f"the cookie {name} is missing")
            asked = {field: request.cookies[name]}
        case "from" | "to":
            limit = query.get(name)
            sign = 1 if written == "from" else -1
            return [r for r in rows if not limit or (r[field] > limit) - (r[field] < limit) in (0, sign)]
        case _:
            values: list[str] = query.getall(name, [])
            some = set(values) if written == "many" else {v for text in values for v in text.split(written)}
            return [r for r in rows if not some or some & _set(r.get(field))]
    return [r for r in rows if all(str(r.get(key)) == str(value) for key, value in asked.items())]


def _set(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else {value}
