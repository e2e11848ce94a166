"""Statements of `.sql` files: parameters by name, fragments, rows as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.store.sql import Queries, record


def queries(folder: Path, text: str, *shared: Path) -> Queries:
    file = folder / "some.sql"
    file.write_text(text)
    return Queries(file, *shared)


def test_names_become_positions_and_are_bound_in_their_order(tmp_path: Path) -> None:
    found = queries(tmp_path, "-- name: one    Why.\nselect :b::int, :a, :b\n\n-- name: two\nselect $1\n")
    assert found["one"] == "select $1::int, $2, $1"
    assert found.bind("one", a="A", b=2) == ("select $1::int, $2, $1", 2, "A")
    assert found["two"] == "select $1"


def test_casts_quotes_and_comments_hold_no_names(tmp_path: Path) -> None:
    text = "-- name: one\n--     more of :comment\nselect 'a:b'::text, '{\"k\": 1}'::json, 'it''s :x' || :y\n"
    assert queries(tmp_path, text)["one"] == "select 'a:b'::text, '{\"k\": 1}'::json, 'it''s :x' || $1"


@pytest.mark.parametrize("given", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_exactly_the_parameters_must_be_given(tmp_path: Path, given: dict[str, int]) -> None:
    found = queries(tmp_path, "-- name: one\nselect :a, :b\n")
    with pytest.raises(TypeError, match="one takes a, b"):
        found.bind("one", **given)


def test_fragments_of_this_file_and_of_shared_ones_are_included(tmp_path: Path) -> None:
    shared = tmp_path / "shared.sql"
    shared.write_text("-- fragment: open    Why.\nclosed_at is null and owner = :owner\n")
    text = "-- fragment: due\n{open} and at < now()\n\n-- name: one\nselect :id where {due}\n"
    found = queries(tmp_path, text, shared)
    statement = "select $1 where closed_at is null and owner = $2 and at < now()"
    assert found.bind("one", owner="me", id=7) == (statement, 7, "me")


def test_a_missing_fragment_or_statement_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no fragment 'due'"):
        queries(tmp_path, "-- name: one\nselect {due}\n")
    with pytest.raises(LookupError, match="no statement 'two'"):
        queries(tmp_path, "-- name: one\nselect 1\n")["two"]


@dataclass(frozen=True)
class Row:
    name: str
    size: int


def test_a_row_becomes_a_dataclass_by_names_of_columns() -> None:
    assert record(Row, {"size": 3, "more": True, "name": "a"}) == Row("a", 3)
    with pytest.raises(KeyError):
        record(Row, {"name": "a"})
