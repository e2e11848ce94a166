"""Texts in pieces: nothing gets lost, nothing is too long, and each piece knows its headings."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.memory.pieces import LONGEST, Piece, pieces_of

HANDBOOK = """Before any heading.

# Terms

## Returns
Thirty days.

Unused only.

## Refunds ##
Five working days.

# Hours
Nine to five.
"""


def test_pieces_know_the_headings_above_them() -> None:
    assert pieces_of(HANDBOOK) == [
        Piece("", "Before any heading."),
        Piece("Terms > Returns", "Thirty days.\n\nUnused only."),
        Piece("Terms > Refunds", "Five working days."),
        Piece("Hours", "Nine to five."),
    ]


def test_a_comment_in_code_is_no_heading() -> None:
    (piece,) = pieces_of("# Setup\n```sh\n# not a heading\nmake\n```\n")
    assert piece == Piece("Setup", "```sh\n# not a heading\nmake\n```")


def test_plain_text_has_no_headings() -> None:
    assert pieces_of("# 1 in sales\n\nsince 1990", headings=False) == [Piece("", "# 1 in sales\n\nsince 1990")]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentences = [f"Sentence number {number} says something of its own." for number in range(60)]
    pieces = pieces_of(" ".join(sentences))
    assert len(pieces) > 1
    assert all(piece.text.startswith("Sentence") and piece.text.endswith("own.") for piece in pieces)


def test_text_without_anything_in_it_has_no_pieces() -> None:
    assert pieces_of(" \n\n\t\n") == []
    assert pieces_of("# Only a heading\n") == []


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4000), st.integers(1, 40))
def test_nothing_gets_lost_and_nothing_is_too_long(text: str, repeats: int) -> None:
    whole = (text + " ") * repeats
    pieces = pieces_of(whole, headings=False)
    assert all(0 < len(piece.text) <= LONGEST for piece in pieces)
    assert re.sub(r"\s", "", "".join(piece.text for piece in pieces)) == re.sub(r"\s", "", whole)
