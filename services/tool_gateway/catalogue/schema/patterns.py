"""Regular expressions as people write them, in the words of the one engine that checks them.

That engine never goes back, so that no pattern can hold up the gateway, and therefore has no look-around and no
back-references. Look-aheads at the beginning of a pattern, which is where nearly all are, become patterns of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs

# Nothing that grows too large for it either.
OPTIONS = jsonschema_rs.RegexOptions(size_limit=3_000_000)
LONGEST = 20_000
DELIMITED = re.compile(r"(?s)(?:m|qr)?([/#~@%!|])(.*)\1([a-zA-Z]*)")
FLAGS = frozenset("dgimsuvyxADUX")
ENGINE_FLAGS = "ims"  # those that change what matches, and that the engine has
TOKEN = re.compile(
    r"(?s)\\u\{[0-9a-fA-F]+\}|\\u[0-9a-fA-F]{4}|\\[pPx]\{[^}]*\}|\\.|\[\^?\]|\(\?#[^)]*\)|\(\?>|\{,?\d*,?\d*\}?|."
)
QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
ESCAPES = {
    r"\Z": "$",
    r"\h": r"[ \t]",
    r"\H": r"[^ \t]",
    r"\e": r"\x1b",
    r"\0": r"\x00",
    r"\R": r"(?:\r\n|\n|\r)",
    r"\N": r"[^\n]",
    r"\X": ".",
    "[^]": r"[\s\S]",
    "[]": r"[^\s\S]",
    "}": r"\}",
    "(?>": "(?:",  # atomic: matches no more without
    r"\p{javaLowerCase}": r"\p{Lowercase}",
    r"\p{javaUpperCase}": r"\p{Uppercase}",
}
IN_CLASS = {r"\h": r" \t", r"\e": r"\x1b", r"\0": r"\x00", r"\b": r"\x08"}
AROUND = ("(?=", "(?!", "(?<=", "(?<!")
POSIX = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:word:]": r"\w",
    "[:xdigit:]": "0-9a-fA-F",
}
CLASS_ESCAPES = (r"\w", r"\d", r"\s", r"\W", r"\D", r"\S")


def constraints(pattern: str) -> dict[str, Any] | None:
    """Keywords that check what a pattern asks for, or None when the engine cannot."""
    if len(pattern) > LONGEST:
        return None
    for candidate in _candidates(pattern):
        if compiles(candidate):
            return {"pattern": candidate}
    for candidate in _candidates(pattern):
        if (parts := _ahead(candidate)) is not None:
            return parts
    return None


def written_for_engine(pattern: str) -> str | None:
    """One pattern that means the same, or None."""
    return next((candidate for candidate in _candidates(pattern) if compiles(candidate)), None)


@lru_cache(maxsize=4096)
def compiles(pattern: str) -> bool:
    """Whether the engine can check it."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=OPTIONS)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def matches(pattern: str, text: str) -> bool:
    """Whether a pattern that compiles is found in the text."""
    return jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=OPTIONS).is_valid(text)


def _candidates(pattern: str) -> Iterator[str]:
    """The pattern without a literal's delimiters, as it is and in the engine's words."""
    plain = re.sub(r"\[:[a-z]+:\]", lambda found: POSIX.get(found[0], found[0]), _undelimited(pattern))
    yield plain
    if (rewritten := _rewritten(plain)) != plain:
        yield rewritten


def _undelimited(pattern: str) -> str:
    """`/^a$/i` of JavaScript, `#^a$#` of PHP: taken literally they match nothing.

    `/a/b/` is a path: inside a literal the delimiter would be escaped.
    """
    found = DELIMITED.fullmatch(pattern)
    if found is None or not set(found[3]) <= FLAGS:
        return pattern
    delimiter, inner = found[1], found[2]
    outside = re.sub(r"(?s)\\.|\[(?:\\.|[^\]\\])*\]", "", inner)
    if not inner or delimiter in outside or (delimiter != "/" and not inner.startswith("^")):
        return pattern
    kept = "".join(flag for flag in ENGINE_FLAGS if flag in found[3])
    return f"(?{kept}){inner}" if kept else inner


def _rewritten(pattern: str) -> str:
    """Escapes and signs that only other dialects have, in the engine's words."""
    made: list[str] = []
    in_class = False
    parts = TOKEN.findall(_without_pairs(_without_quotes(pattern)))
    for number, part in enumerate(parts):
        following = parts[number + 1] if number + 1 < len(parts) else ""
        if in_class:
            made.append(_in_class(parts[number - 1], part, following))
            in_class = part != "]"
        else:
            made.append(_outside(part))
            in_class = part == "["
    return "".join(made)


def _in_class(before: str, part: str, following: str) -> str:
    """`[\\w-.]` has a hyphen that is no range, `[[]` a bracket that begins nothing."""
    if part == "-" and (before in CLASS_ESCAPES or following in CLASS_ESCAPES):
        return r"\-"
    if part == "[" and following != ":":
        return r"\["
    return IN_CLASS.get(part, part)


def _outside(part: str) -> str:
    if part in ESCAPES:
        return ESCAPES[part]
    if part.startswith("(?#"):
        return ""
    if part.startswith("{") and not QUANTIFIER.fullmatch(part):
        return "{0" + part[1:] if re.fullmatch(r"\{,\d+\}", part) else re.sub(r"([{}])", r"\\\1", part)
    return part


def _without_quotes(pattern: str) -> str:
    return re.sub(r"(?s)\\Q(.*?)\\E", lambda found: re.escape(found[1]), pattern)


def _without_pairs(pattern: str) -> str:
    r"""`\ud83d\ude00` is one character in two halves; a half alone is no character of any text here."""

    def joined(found: re.Match[str]) -> str:
        code = 0x10000 + ((int(found[1], 16) - 0xD800) << 10) + (int(found[2], 16) - 0xDC00)
        return f"\\u{{{code:X}}}"

    pairs = re.sub(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})", joined, pattern)
    return re.sub(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", r"\\uFFFD", pairs)


def _ahead(pattern: str) -> dict[str, Any] | None:
    """`^(?!x)(?=y)z` as three patterns: not `^x`, `^y`, `^z`."""
    flags, rest = _split(re.match(r"(?:\(\?[ims]+\))?", pattern), pattern)
    if not rest.startswith("^"):
        return None
    rest, parts = rest[1:], list[dict[str, Any]]()
    while rest.startswith(("(?=", "(?!")):
        end = _closing(rest)
        if end is None:
            return None
        inner = f"{flags}^(?:{rest[3:end]})"
        # `not` turns round what a pattern says of values that are no text.
        parts.append({"not": {"type": "string", "pattern": inner}} if rest[2] == "!" else {"pattern": inner})
        rest = rest[end + 1 :]
    whole = f"{flags}^{rest}"
    inners = [part.get("pattern") or part["not"]["pattern"] for part in parts]
    if not parts or _alternatives(rest) or not all(compiles(one) for one in [whole, *inners]):
        return None
    return {"pattern": whole, "allOf": parts}


def _split(found: re.Match[str] | None, text: str) -> tuple[str, str]:
    return (found[0], text[found.end() :]) if found else ("", text)


def _closing(text: str) -> int | None:
    """Where the group ends that the text begins with."""
    depth, in_class, skip = 0, False, False
    for n, sign in enumerate(text):
        if skip:
            skip = False
        elif sign == "\\":
            skip = True
        elif in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        elif sign in "()":
            depth += 1 if sign == "(" else -1
            if depth == 0:
                return n
    return None


def _alternatives(pattern: str) -> bool:
    """Whether there is a `|` outside of groups."""
    plain = re.sub(r"(?s)\\.|\[(?:\\.|[^\]\\])*\]", "", pattern)
    depth = 0
    for sign in plain:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0:
            return True
    return False
