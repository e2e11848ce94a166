"""Where an operation takes an idempotency key, and the form of key that fits what it says of it.

Only names decide: a key that a vendor does not honour would make a lost call be sent twice. What merely speaks of
idempotency in prose is told to the integrator, who knows better.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.tool_gateway.catalogue import media
from services.tool_gateway.catalogue.arguments import parameters_of
from services.tool_gateway.catalogue.bodies import flat_of
from services.tool_gateway.catalogue.schema import Bundle, deref
from services.tool_gateway.catalogue.schema.checks import validator
from services.tool_gateway.wire import keys

NAMED = re.compile(r"idempoten(?:cy|ce|t)", re.IGNORECASE)
IS_KEY = re.compile(r"key|id|token|uuid|guid|header|code|reference|nonce|value|payout|request", re.IGNORECASE)
VENDORS = frozenset({"paypal-request-id"})  # not called after what they are
UUID_NAMES = frozenset({"uuid", "guid", "uuid4", "uuidv4", "uuid-v4", "uuid_v4"})
UUID_WORD = re.compile(r"\b(uuid|guid)", re.IGNORECASE)
PREFIX = re.compile(r"\^([A-Za-z0-9_:.-]*[A-Za-z_:.-])(?=[\[(\\])")
TEXTS = ("string", "integer", None)
# Ids of calls, of direct invocations and of probes, short and long.
SAMPLES = (
    *(f"{uuid.UUID(int=n * 0x123456789ABCDEF0123456789ABCDEF % 2**128)}.{n}.{n % 3}" for n in range(1, 40, 3)),
    "ffffffff-ffff-4fff-bfff-ffffffffffff.99999.999",
    "invoke:00000000-0000-4000-8000-000000000000",
)


PLACES = ("header", "query", "body")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a key could go: what is said of it, and its schema."""

    place: str
    name: str
    required: bool
    schema: Any
    about: Mapping[str, Any]


def key_of(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], said: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, list[Place]]:
    """(x-viox's `idempotency`, places that look like a key's and that no key of ours fits).

    `said` is what an overlay says of it. Raises ValueError where the document demands a key that we cannot make.
    """
    unfit: list[Place] = []
    for one in _places(document, item, operation, said):
        if said is not None and ("form" in said or "prefix" in said):
            break
        if form := form_for(document, one.schema, one.about):
            written = {"form": form[0]} if form[0] != "id" else {}
            written |= {"prefix": form[1]} if form[1] else {}
            return {**(said or {"in": one.place, "name": one.name}), **written}, unfit
        unfit.append(one)
    if said is not None:
        return dict(said), []
    for one in unfit:
        if one.required:
            raise ValueError(
                f"its idempotency key {one.name} has a shape that no key of ours fits. "
                "Say one in an overlay: x-viox.idempotency with in, name, form and prefix"
            )
    return None, unfit


def _places(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], said: Mapping[str, Any] | None
) -> list[Place]:
    """Where a key could go, the best first: what the document demands, then headers."""
    bundle = Bundle(document)
    found = [
        Place(one["in"], str(one["name"]), bool(one.get("required")), _schema_of(one), one)
        for one in parameters_of(document, item, operation)
        if one["in"] in PLACES
    ]
    found += _properties(document, bundle, operation)
    if said is not None:
        return [
            one for one in found if one.place == said.get("in") and one.name.lower() == str(said.get("name")).lower()
        ]
    named = [one for one in found if is_key_name(one.name) and can_hold(bundle, one.schema)]
    return sorted(named, key=lambda one: (not one.required, PLACES.index(one.place)))


def _schema_of(parameter: Mapping[str, Any]) -> Any:
    content = parameter.get("content")
    return next(iter(content.values())).get("schema", {}) if content else parameter.get("schema", {})


def _properties(document: Mapping[str, Any], bundle: Bundle, operation: Mapping[str, Any]) -> Iterator[Place]:
    """Properties of a body that is a plain object."""
    try:
        request = deref(document, operation.get("requestBody")) or {}
        media_type, kind = media.for_body(request.get("content") or {})
        flat = flat_of(bundle, request["content"][media_type].get("schema", {})) if kind != "text" else None
    except (ValueError, KeyError, AttributeError):
        return  # whoever reads the body says why
    for name, schema in flat["properties"].items() if flat else ():
        about = schema if isinstance(schema, Mapping) else {}
        yield Place("body", name, name in flat["required"] if flat else False, schema, about)


def is_key_name(name: str) -> bool:
    """Whether a header, query parameter or body property of this name holds an idempotency key."""
    if name.lower() in VENDORS:
        return True
    found = NAMED.search(name)
    if found is None:
        return False
    rest = (name[: found.start()] + name[found.end() :]).strip("-_ .")
    return not rest or rest.lower() == "x" or IS_KEY.search(rest) is not None


def mentions_key(about: Any) -> bool:
    """Whether a description speaks of idempotency."""
    return isinstance(about, str) and NAMED.search(about) is not None


def can_hold(bundle: Bundle, schema: Any) -> bool:
    """Whether a value of this schema can be a key at all: `is_idempotent: boolean` is none."""
    plain = bundle.resolved(schema)
    if not isinstance(plain, Mapping):
        return plain is True
    kind = plain.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return any(one in TEXTS for one in kinds) and "properties" not in plain


def form_for(document: Mapping[str, Any], schema: Any, about: Mapping[str, Any]) -> tuple[str, str] | None:
    """(form, prefix) of keys that fit the schema; None when none does. `about` has a description, and examples of it."""
    bundle = Bundle(document)
    made = bundle.take(schema)
    whole = {"allOf": [made], "$defs": bundle.defs}
    check = validator(whole)
    plain = bundle.resolved(schema)
    plain = plain if isinstance(plain, Mapping) else {}
    for form, prefix in _forms(plain, _hinted(schema, about)):
        if all(check.is_valid(keys.written(form, prefix, sample)) for sample in SAMPLES):
            return form, prefix
    return None


def _hinted(schema: Any, about: Mapping[str, Any]) -> bool:
    """Whether a UUID is asked for in other ways than by a pattern."""
    told = [one for one in (schema, about) if isinstance(one, Mapping)]
    if any(str(one.get("format", "")).lower() in UUID_NAMES for one in told):
        return True
    if any(UUID_WORD.search(str(one.get(key, ""))) for one in told for key in ("description", "title")):
        return True
    return any(_is_uuid(one.get(key)) for one in told for key in ("example", "default"))


def _is_uuid(text: Any) -> bool:
    try:
        return isinstance(text, str) and len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


def _forms(plain: Mapping[str, Any], hinted: bool) -> Iterator[tuple[str, str]]:
    """Forms to try, the most telling first."""
    hinted = hinted or str(plain.get("format", "")).lower() in UUID_NAMES
    found = PREFIX.match(str(plain.get("pattern", "")))
    for prefix in ("", found[1]) if found else ("",):
        yield from ((form, prefix) for form in (("uuid", "UUID", "id") if hinted else ("id", "uuid", "UUID")))
        for length in _lengths(plain, len(prefix)):
            for alphabet in keys.ALPHABETS:
                form = f"{alphabet}:{length}"
                if keys.bits(form) >= keys.FEWEST_BITS and (alphabet != "int" or length <= 18):
                    yield form, prefix


def _lengths(plain: Mapping[str, Any], taken: int) -> list[int]:
    said = [plain.get("maxLength"), plain.get("minLength")]
    said += [int(n) for n in re.findall(r"\d+", "".join(re.findall(r"\{([\d,]+)\}", str(plain.get("pattern", "")))))]
    wanted = [n - taken for n in said if isinstance(n, int | float) and 0 < n - taken <= keys.LONGEST]
    return list(dict.fromkeys(int(n) for n in (32, 26, *wanted, 24, 22, 20, 18, 16, 12, 11)))
