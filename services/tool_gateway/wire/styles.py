"""OpenAPI parameter styles: values to text, as the specification's table has them (3.1.1, "Style Values").

`deepObject` is defined there for one level only; deeper levels follow what the vendors who use it accept:
`a[b][c]=1` for objects, `a[0]=1` for lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

from services.tool_gateway.catalogue.tools import Parameter, Style

DELIMITERS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
COOKIE = "!#$&'()*+/:<>?@[]^`{|}"  # besides letters, digits and -._~ (RFC 6265), without the sign that ends a name
RESERVED = "!*'();:@$,/?"  # left alone by `allowReserved`, without those that would end a name, a value or the query


def text(value: Any) -> str:
    """One plain value. What is neither text, number nor truth is written as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def pairs(name: str, value: Any, style: Style, explode: bool) -> list[tuple[str, str]]:
    """(name, value) pairs of a query or form, not yet encoded."""
    if style == "deepObject":
        return list(_deep(name, value))
    if isinstance(value, list):
        if explode and style == "form":
            return [(name, text(item)) for item in value]
        return [(name, DELIMITERS[style].join(text(item) for item in value))]
    if isinstance(value, dict):
        if explode and style == "form":
            return [(key, text(item)) for key, item in value.items()]
        flat = [part for key, item in value.items() for part in (key, text(item))]
        return [(name, DELIMITERS[style].join(flat))]
    return [(name, text(value))]


def _deep(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _deep(f"{name}[{key}]", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _deep(f"{name}[{index}]", item)
    else:
        yield name, text(value)


def query(found: list[tuple[str, str, bool]]) -> str:
    """A query string from (name, value, allowReserved)."""
    return "&".join(f"{quote_plus(k)}={quote(v, safe=RESERVED) if r else quote_plus(v)}" for k, v, r in found)


def cookies(found: list[tuple[str, str]]) -> str:
    """A Cookie header. What would end a cookie's value and begin another is percent-encoded."""
    return "; ".join(f"{quote(name, safe=COOKIE)}={quote(value, safe=COOKIE + '=')}" for name, value in found)


def path_segment(parameter: Parameter, value: Any) -> str:
    """A path parameter in style simple, label or matrix; every value percent-encoded."""
    if isinstance(value, list):
        items = [_encoded(item) for item in value]
        return _joined(parameter, items, [f"{parameter.name}={item}" for item in items])
    if isinstance(value, dict):
        mark = "=" if parameter.explode else ","
        items = [f"{_encoded(key)}{mark}{_encoded(item)}" for key, item in value.items()]
        return _joined(parameter, items, items)
    plain = _encoded(value)
    return _joined(parameter, [plain], [f"{parameter.name}={plain}"])


def _joined(parameter: Parameter, items: list[str], named: list[str]) -> str:
    """Encoded items of a path parameter in its style; `named` are the same as matrix has them when exploded."""
    match parameter.style:
        case "label":
            return "." + ("." if parameter.explode else ",").join(items)
        case "matrix" if parameter.explode:
            return "".join(f";{item}" for item in named)
        case "matrix":
            return f";{parameter.name}={','.join(items)}"
        case _:
            return ",".join(items)


def header(value: Any, explode: bool) -> str:
    """A header parameter (style simple)."""
    if isinstance(value, list):
        return ",".join(text(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{k}{'=' if explode else ','}{text(v)}" for k, v in value.items())
    return text(value)


def _encoded(value: Any) -> str:
    return quote(text(value), safe="")
