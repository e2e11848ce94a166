"""What a call moves and whom it reaches, read from its arguments as its tool's document says. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.tool_gateway.answers.paths import at, every
from services.tool_gateway.catalogue.tools import Amount, Tool
from services.tool_gateway.policy.types import MOST, NoType
from shared.bus.consent import address_key
from shared.money import places
from shared.telemetry.digest import sha256_bytes

_CODE = re.compile(r"[A-Za-z]{3}")  # ISO 4217


@dataclass(frozen=True, slots=True)
class Money:
    """`currency` in lower case; empty where the call does not say it."""

    minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What a call moves, if its arguments say it, and whom it reaches or pays: sorted, each once, as `party` has it. Of those
    that a document marks as sensitive only a digest."""

    amount: Money | None = None
    counterparties: tuple[str, ...] = ()


def figures_of(tool: Tool, arguments: Mapping[str, Any]) -> Figures:
    """Raises NoType for an amount that is no whole number of minor units, or a counterparty that is no text."""
    given = dict(arguments)
    amount = _amount(tool.amount, given) if tool.amount else None
    hidden = set(tool.redact_arguments.values(given))
    found = [
        f"sha256:{sha256_bytes(str(one).encode())}" if str(one) in hidden else party(one)
        for path in tool.counterparties
        for one in every(given, path)
        if one is not None
    ]
    return Figures(amount, tuple(sorted(set(found))))


def readable_figures(tool: Tool, arguments: Mapping[str, Any]) -> Figures:
    """Nothing where the arguments do not say it in a way that can be read."""
    try:
        return figures_of(tool, arguments)
    except NoType:
        return Figures()


def moved(tool: Tool, answer: Any) -> Money | None:
    """What was moved, by the answer of a call that succeeded. None where its document says of no place in it, or where what
    stands there is no amount: then what the call said of it holds."""
    said = tool.amount.answered if tool.amount else None
    if tool.amount is None or said is None:
        return None
    amount, currency = at(answer, said.path), at(answer, said.currency)
    if not isinstance(currency, str) or not _CODE.fullmatch(currency):
        return None
    try:
        return _minor([amount], currency.lower(), tool.amount.unit)
    except NoType:
        return None


def party(value: Any) -> str:
    """A counterparty as it is compared: mail addresses without case, telephone numbers without spaces and brackets."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise NoType(f"a counterparty is a text, not {type(value).__name__}")
    text = str(value).strip()
    return text.lower() if "@" in text or not any(c.isdigit() for c in text) else address_key(text)


def _amount(said: Amount, arguments: dict[str, Any]) -> Money | None:
    """Null where nothing is said: nobody knows how much a full refund is before it is made."""
    found = [one for one in every(arguments, said.path) if one is not None]
    if not found:
        return None
    currency = at(arguments, said.currency) if said.currency else None
    return _minor(found, currency.lower() if isinstance(currency, str) else "", said.unit)


def _minor(found: Sequence[Any], code: str, unit: str) -> Money:
    scale = 10 ** places(code) if unit == "major" else 1
    minor = sum((_number(one) for one in found), Decimal(0)) * scale
    if minor != int(minor) or abs(minor) >= MOST:
        raise NoType(f"{minor} is no whole number of minor units")
    return Money(int(minor), code)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise NoType(f"an amount is a number, not {type(value).__name__}")
    return Decimal(str(value))
