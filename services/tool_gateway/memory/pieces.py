"""Texts in pieces that are searched one by one: paragraphs under the headings they stand under. Pure.

A piece is about as long as an answer, so that what is found can be shown to a model whole, and its vector is about one
thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 800
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n")
DEEPEST = 200  # characters of headings that are kept


@dataclass(frozen=True, slots=True)
class Piece:
    """`place`: the headings above it, from the outermost."""

    place: str
    text: str


def pieces_of(text: str, *, headings: bool = True) -> list[Piece]:
    """The pieces of a text in their order. `headings`: lines that begin with # are headings, as in Markdown."""
    made: list[Piece] = []
    for place, paragraphs in _sections(text, headings=headings):
        made += [Piece(place, one) for one in _packed(part for one in paragraphs for part in _parts(one))]
    return made


def _sections(text: str, *, headings: bool) -> Iterator[tuple[str, list[str]]]:
    """(headings, paragraphs) of each stretch without a heading in it."""
    above: dict[int, str] = {}
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= bool(_FENCE.match(line))
        found = _HEADING.match(line) if headings and not fenced else None
        if found is None:
            lines.append(line)
            continue
        yield _place(above), _paragraphs(lines)
        lines, depth = [], len(found[1])
        above = {level: title for level, title in above.items() if level < depth} | {depth: found[2]}
    yield _place(above), _paragraphs(lines)


def _place(above: dict[int, str]) -> str:
    return " > ".join(title for title in above.values() if title)[:DEEPEST]


def _paragraphs(lines: list[str]) -> list[str]:
    return [one.strip() for one in re.split(r"\n\s*\n", "\n".join(lines)) if one.strip()]


def _parts(paragraph: str) -> Iterator[str]:
    """A paragraph, or where it is too long its sentences; and where one of those is too long, as much as fits of it."""
    if len(paragraph) <= LONGEST:
        yield paragraph
        return
    for sentence in _SENTENCE.split(paragraph):
        rest = sentence.strip()
        while len(rest) > LONGEST:
            cut = rest.rfind(" ", LONGEST // 2, LONGEST)
            cut = cut if cut > 0 else LONGEST
            yield rest[:cut].strip()
            rest = rest[cut:].strip()
        if rest:
            yield rest


def _packed(parts: Iterator[str]) -> Iterator[str]:
    """Neighbours together, as many as fit."""
    held = ""
    for part in parts:
        if held and len(held) + len(part) + 2 > LONGEST:
            yield held
            held = ""
        held = f"{held}\n\n{part}" if held else part
    if held:
        yield held
