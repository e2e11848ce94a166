"""What people read: tables that keep ids whole, text from outside that cannot steer a terminal."""

from __future__ import annotations

import io
import os

import pytest

from viox import output

ID = "591f5ae0-d675-519c-b9a6-0e3a5f87e3b4"
TOOL = "a_tool_whose_name_takes_all_of_the_sixty_four_characters_allowed"


def test_cells_are_not_wrapped_where_nobody_reads_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["id", "tool", "text"], [(ID, TOOL, "word " * 100), ("b", None, "two\nlines")], empty="none")
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "tool", "text"]
    assert first == f"{ID}  {TOOL}  {('word ' * 100).strip()}"
    assert second.split() == ["b", "two", "lines"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


def test_a_narrow_terminal_cuts_the_last_column_only(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("viox.output.os.get_terminal_size", lambda _fd: os.terminal_size((50, 24)))
    monkeypatch.setattr("sys.stdout", terminal)
    output.table(["id", "tool", "text"], [(ID, TOOL, "word " * 100)], empty="none")
    assert terminal.getvalue().splitlines()[1] == f"{ID}  {TOOL}  word word word word…"


def test_wide_characters_are_counted_as_terminals_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name", "n"], [("日本", 1), ("ab", 2), ("éa", 3)], empty="none")
    assert capsys.readouterr().out.splitlines() == ["name  n", "日本  1", "ab    2", "éa    3"]


def test_text_from_outside_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b]0;title\x07b\x9b2J\tc")
    output.table(["text"], [("\x1b[2Jgone",)], empty="none")
    assert capsys.readouterr().out == "a\\x1b]0;title\\x07b\\x9b2J\tc\ntext\n\\x1b[2Jgone\n"
