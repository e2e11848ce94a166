"""Stripe's requests: bracketed forms, the parameters an operation takes, and how it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Given = dict[str, Any]
Handle = Callable[[Given, str], Given]
KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
CURRENCY = re.compile(r"^[a-z]{3}$")
LARGEST = 99_999_999
SMALLEST_CHARGE = 50
UNSET = ("metadata", "address", "shipping", "pause_collection", "recurring")
"""The maps that an empty value takes away."""


class Refused(Exception):
    """An answer that is an error; it counts as the operation's outcome for its idempotency key."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        stored: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        self.kept = status == 402
        """Whether what happened on the way to this refusal stays: a declined card has been tried."""
        named = {"code": code, "param": param, **more}
        self.error = {"type": kind, "message": message} | {k: v for k, v in named.items() if v is not None}
        if code:
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"


class Invalid(Refused):
    """A parameter that cannot be: the operation never began, so its idempotency key stays free."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message, code=code, param=param, stored=False)


def _empty(param: str) -> Invalid:
    return Invalid(f"'{param}' cannot be unset.", param, "parameter_invalid_empty")


def missing(param: str) -> Invalid:
    return Invalid(f"Missing required param: {param}.", param, "parameter_missing")


# -- forms -----------------------------------------------------------------------------------------------------------


def decode(pairs: Iterable[tuple[str, str]]) -> Given:
    """`a[b]=1`, `a[0][b]=1` and `a[]=1` as nested dictionaries; lists become dictionaries with numbers as keys."""
    made: Given = {}
    for key, value in pairs:
        matched = KEY.match(key)
        if matched is None:
            raise Invalid(f"Invalid parameter name: {key}", key, "parameter_unknown")
        path = [matched[1], *re.findall(r"\[([^\[\]]*)\]", matched[2])]
        _put(made, path, value, key)
    return made


def _put(place: Given, path: list[str], value: str, key: str) -> None:
    for number, name in enumerate(path[:-1]):
        step = name if name else _slot(place, path[number + 1])
        inner = place.setdefault(step, {})
        if not isinstance(inner, dict):
            raise Invalid("Invalid object", key)
        place = inner
    place[path[-1] or str(len(place))] = value


def _slot(place: Given, follower: str) -> str:
    """Where `a[][b]` goes: the last entry, or a new one when that has a `b` already."""
    last = str(len(place) - 1)
    return last if last in place and follower not in place[last] else str(len(place))


# -- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One call of the API.

    `takes` lists its parameters as `name:kind`, with `!` when required. Kinds: nothing (text), set (text that cannot be
    unset), int, count (from 1), bool, map, list, texts (a list of them), when (a time or a range), currency, amount, or
    alternatives `a|b`. A parameter that is not listed is refused as unknown, also where the real API would take it:
    nobody shall rely on what is not emulated.
    """

    method: str
    path: str
    handle: Handle
    takes: str = ""
    name: str = ""
    kinds: dict[str, tuple[str, bool]] = field(init=False)

    def __post_init__(self) -> None:
        common = "expand:texts " + ("limit:int starting_after ending_before " if self.name.endswith(".list") else "")
        common += "limit:int page query! " if self.name.endswith(".search") else ""
        parts = [word.partition(":") for word in (common + self.takes).split()]
        kinds = {n.rstrip("!"): (kind.rstrip("!"), n.endswith("!") or kind.endswith("!")) for n, _, kind in parts}
        object.__setattr__(self, "kinds", kinds)

    def check(self, raw: Given) -> Given:
        """The parameters with their types; what was set to nothing is None."""
        for name in raw:
            if name not in self.kinds:
                raise Invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
        made: Given = {}
        for name, (kind, required) in self.kinds.items():
            if name not in raw:
                if required:
                    raise missing(name)
            elif raw[name] == "" and (required or self.method == "GET"):
                raise _empty(name)
            else:
                made[name] = typed(raw[name], kind, name)
        return made


def typed(value: Any, kind: str, name: str) -> Any:
    """A form value as what it stands for; nothing where it is unset."""
    if value == "":
        if kind not in ("", "list", "texts") and name.split("[")[-1].rstrip("]") not in UNSET:
            raise _empty(name)
        return None if kind in ("", "map") else []
    if kind == "when" and isinstance(value, dict):
        return only(value, name, "gt:int gte:int lt:int lte:int")
    if kind in ("map", "list", "texts"):
        if not isinstance(value, dict):
            raise Invalid(f"Invalid {'object' if kind == 'map' else 'array'}", name)
        return value if kind == "map" else in_order(value, name, texts=kind == "texts")
    if not isinstance(value, str):
        raise Invalid(f"Invalid string: {name}", name)
    match kind:
        case "" | "set":
            return value
        case "int" | "when":
            return integer(value, name)
        case "count":
            return count(value, name)
        case "amount":
            return amount(value, name)
        case "bool":
            return boolean(value, name)
        case "currency":
            return currency(value, name)
        case _:
            if value not in kind.split("|"):
                raise Invalid(f"Invalid {name}: must be one of {', '.join(kind.split('|'))}", name)
            return value


def in_order(value: Given, name: str, *, texts: bool) -> list[Any]:
    if not all(key.isdigit() for key in value) or (texts and not all(isinstance(v, str) and v for v in value.values())):
        raise Invalid("Invalid array", name)
    return [value[key] for key in sorted(value, key=int)]


def integer(value: Any, name: str) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,18}", value):
        raise Invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return int(value)


def count(value: Any, name: str) -> int:
    number = integer(value, name)
    if not 1 <= number <= LARGEST:
        raise Invalid(f"{name} must be at least 1", name, "parameter_invalid_integer")
    return number


def amount(value: Any, name: str) -> int:
    """Money in the smallest unit of its currency."""
    number = integer(value, name)
    if number < 0:
        raise Invalid("This value must be greater than or equal to 0.", name, "parameter_invalid_integer")
    if number > LARGEST:
        raise Invalid(f"Amount must be no more than {LARGEST}", name, "amount_too_large")
    return number


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise Invalid(f"Invalid boolean: {value}", name)
    return bool(value == "true")


def currency(value: Any, name: str) -> str:
    text = str(value).lower()
    if not CURRENCY.match(text):
        raise Invalid(f"Invalid currency: {text}", name)
    return text


def chargeable(number: int, name: str = "amount") -> int:
    """An amount large enough for a card."""
    if number < SMALLEST_CHARGE:
        raise Invalid(f"Amount must be at least {SMALLEST_CHARGE}", name, "amount_too_small")
    return number


def only(value: Any, name: str, takes: str) -> Given:
    """The parameters inside a map or an element of a list, checked like those of an operation."""
    if not isinstance(value, dict):
        raise Invalid("Invalid object", name)
    kinds = [word.partition(":") for word in takes.split()]
    known = {n.rstrip("!"): (kind.rstrip("!"), n.endswith("!") or kind.endswith("!")) for n, _, kind in kinds}
    for key in value:
        if key not in known:
            raise Invalid(f"Received unknown parameter: {name}[{key}]", f"{name}[{key}]", "parameter_unknown")
    for key, (_, required) in known.items():
        if required and value.get(key, "") == "":
            raise missing(f"{name}[{key}]")
    return {k: typed(v, known[k][0], f"{name}[{k}]") for k, v in value.items()}


def merged(old: dict[str, str], given: Any) -> dict[str, str]:
    """Metadata after an update: named keys change, an empty value removes its key, nothing at all removes everything."""
    if given is None:
        return {}
    made = dict(old)
    for key, value in given.items():
        if not isinstance(value, str) or len(value) > 500:
            raise Invalid("Metadata values are strings of up to 500 characters", f"metadata[{key}]")
        if len(key) > 40:
            raise Invalid("Metadata keys have up to 40 characters", f"metadata[{key}]")
        if value:
            made[key] = value
        else:
            made.pop(key, None)
    if len(made) > 50:
        raise Invalid("Metadata has up to 50 keys", "metadata")
    return made
