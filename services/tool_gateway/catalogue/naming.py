"""Names of tools, arguments and settings out of names that people wrote in any script."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container

LONGEST_TOOL = 64
LONGEST_ARGUMENT = 60
PLAIN_ARGUMENT = re.compile(r"[^a-zA-Z0-9_.-]")
# Letters that do not fall apart into a Latin letter and a mark.
LATIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "ı": "i"}
)


def latin(text: str) -> str | None:
    """The text in ASCII letters, without their marks; None when letters or digits of other scripts would be lost."""
    apart = unicodedata.normalize("NFKD", text.translate(LATIN))
    if any(c.isalnum() and not c.isascii() for c in apart):
        return None
    return "".join(c for c in apart if not unicodedata.combining(c))


def tool_name(prefix: str, wanted: str, method: str, path: str, taken: Container[str]) -> str:
    """A name that is not taken. Raises ValueError when there are two operations of the same name and place.

    Where the wanted one is in another script, method and path say what it does, and a digest what they leave out.
    """
    plain = _joined(prefix, latin(wanted) or "")
    if plain is None:
        by_place = latin(f"{method} {path}")
        plain = _joined(prefix, by_place or "")
        if plain is None or by_place is None:
            return _with_digest(plain or _joined(prefix, method) or prefix, wanted, f"{method} {path}", taken)
    if len(plain) <= LONGEST_TOOL and plain not in taken:
        return plain
    return _with_digest(plain, wanted, f"{method} {path}", taken)


def _joined(prefix: str, rest: str) -> str | None:
    made = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_-]", "_", rest)).strip("_")
    return re.sub(r"_+", "_", f"{prefix}_{made}") if any(c.isalnum() for c in made) else None


def _with_digest(plain: str, wanted: str, place: str, taken: Container[str]) -> str:
    digest = hashlib.sha256(f"{wanted} {place}".encode()).hexdigest()[:6]
    made = f"{plain[: LONGEST_TOOL - 7]}_{digest}"
    if made in taken:
        raise ValueError(f"two operations are called {wanted!r}")
    return made


def argument_name(name: str, taken: Container[str]) -> str:
    """A name that models' providers accept as a key and that is not taken yet."""
    folded = latin(name)
    plain = PLAIN_ARGUMENT.sub("_", name if folded is None else folded)[:LONGEST_ARGUMENT]
    if not any(c.isalnum() for c in plain):
        plain = f"field_{hashlib.sha256(name.encode()).hexdigest()[:6]}" if folded is None else plain or "_"
    found, number = plain, 2
    while found in taken:
        found, number = f"{plain}_{number}", number + 1
    return found


def is_readable(name: str) -> bool:
    """Whether an argument's name still says what the document's name said."""
    return latin(name) is not None


def setting_word(name: str) -> str:
    """A name as a part of an environment variable's, in capitals."""
    folded = latin(name)
    made = "".join(c if c.isascii() and c.isalnum() else "_" for c in folded or name).upper().strip("_")
    if folded is None:
        return "_".join(
            part for part in (made.strip("_"), hashlib.sha256(name.encode()).hexdigest()[:6].upper()) if part
        )
    return made
