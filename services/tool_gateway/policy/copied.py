"""Addresses that an agent copied out of text from outside: where an injected instruction says to pay or to send. Pure.

Addresses are counterparties, and in all texts of the arguments mail addresses, URLs, telephone numbers and bank accounts
(IBAN). They are compared without case, spaces and the marks people put into numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST_TEXT = 2_000_000  # of everything that is compared
DEEPEST = 20
LAST_DIGITS = 9  # of a telephone number: how it begins is written in many ways
_ADDRESSES = (
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE),
    re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.IGNORECASE),
)
_NUMBERS = re.compile(r"\+\d[\d ().-]{6,}\d|\(\d{3}\) ?\d{3}[ .-]?\d{4}|\b\d{3}[ .-]\d{3}[ .-]\d{4}\b|\b\d{10,15}\b")
_NOISE = re.compile(r"[\s().-]")


def addresses_in(arguments: Any, counterparties: Iterable[str]) -> frozenset[str]:
    """What of a call's arguments says where something goes, in the form in which it is compared."""
    found = set(map(address, counterparties))
    for text in texts_in(arguments, numbers=False):
        found |= {_number(one) for one in _NUMBERS.findall(text)}
        for pattern in _ADDRESSES:
            found |= {_plain(match) for match in pattern.findall(text)}
    return frozenset(one for one in found if len(one) >= 6)


def address(text: str) -> str:
    """A text that is an address as a whole, in the form in which it is compared."""
    return _number(text) if _NUMBERS.fullmatch(text) else _plain(text)


def any_in(addresses: Iterable[str], outside: Iterable[Any]) -> bool:
    """Whether one of the addresses stands in text from outside: JSON values, the newest first."""
    wanted, left = list(addresses), LONGEST_TEXT
    if not wanted:
        return False
    for text in (text for value in outside for text in texts_in(value)):
        plain = _plain(text[:left])
        if any(one in plain for one in wanted):
            return True
        left -= len(text)
        if left <= 0:
            return True  # more than can be compared: it may be there
    return False


def texts_in(node: Any, depth: int = 0, *, numbers: bool = True) -> Iterator[str]:
    """Every text of a JSON value, keys included; whole numbers, too, which may be telephone numbers."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, int) and not isinstance(node, bool):
        yield from [str(node)] if numbers else []
    elif depth < DEEPEST and isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from texts_in(value, depth + 1, numbers=numbers)
    elif depth < DEEPEST and isinstance(node, list):
        for item in node:
            yield from texts_in(item, depth + 1, numbers=numbers)


def _number(text: str) -> str:
    return re.sub(r"\D", "", text)[-LAST_DIGITS:]


def _plain(text: str) -> str:
    return _NOISE.sub("", text).lower().rstrip("/")
