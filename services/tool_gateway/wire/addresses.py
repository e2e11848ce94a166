"""Mail addresses as people write them into one text: with names, several of them, parted by commas or semicolons. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parseaddr

from shared.bus.consent import address_key

_SEPARATOR = re.compile(r"""[;,](?=(?:[^"]*"[^"]*")*[^"]*$)(?![^<]*>)""")  # not within quotes or angle brackets


def parts(text: str) -> list[str]:
    """The texts of single addresses."""
    return [part.strip() for part in _SEPARATOR.split(text) if part.strip()]


def plain(texts: Iterable[str]) -> list[str]:
    """The addresses alone, each once, as the address book has them."""
    found = [parseaddr(part)[1] for text in texts for part in parts(text)]
    return list(dict.fromkeys(address_key(one) for one in found if "@" in one))
