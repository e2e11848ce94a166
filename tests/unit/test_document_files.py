"""Files as people have them: what is read of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from viox import document_files

PAGE = """<!doctype html><html><head><meta charset="iso-8859-1"><title>Caf\xe9 terms</title>
<style>h1 {}</style><script>var x = "<p>no</p>";</script></head>
<body><header><nav><a href="/">Home</a></nav></header>
<h1>Terms</h1><p>Paid <b>within</b>
14 days &amp; no later.</p>
<ul><li>by card</li><li>by transfer</li></ul>
<table><tr><th>Job</th><th>Price</th></tr><tr><td>Check</td><td>149&nbsp;\u20ac</td></tr></table>
<div hidden></div><p>Unclosed <i>and fine"""


def read(tmp_path: Path, name: str, raw: bytes) -> document_files.Document:
    (tmp_path / name).write_bytes(raw)
    return document_files.read(name, tmp_path / name)


def test_a_page_becomes_its_words_under_its_headings(tmp_path: Path) -> None:
    document = read(tmp_path, "terms.html", PAGE.encode("cp1252"))
    assert document.title == "Café terms"
    assert document.text.split("\n\n") == [
        "# Terms",
        "Paid within 14 days & no later.",
        "- by card\n- by transfer",
        "Job | Price\nCheck | 149 €",
        "Unclosed and fine",
    ]
    assert document.headings


def test_markdown_without_its_front_matter(tmp_path: Path) -> None:
    document = read(tmp_path, "a.md", b"\xef\xbb\xbf---\nlayout: x\n---\n# How we work\n\nText.\n")
    assert (document.title, document.text) == ("How we work", "# How we work\n\nText.\n")


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_in_the_charsets_that_people_save(tmp_path: Path, coding: str) -> None:
    document = read(tmp_path, "prices.txt", "Prüfung: 5 €\n".encode(coding))
    assert (document.title, document.text, document.headings) == ("prices", "Prüfung: 5 €\n", False)


def test_the_files_of_a_folder_by_names_that_stay(tmp_path: Path) -> None:
    folder = tmp_path / "hand book"
    (folder / ".git").mkdir(parents=True)
    (folder / "b").mkdir()
    for name in ("b/c.md", "a.md", ".git/x.md", ".x.md"):
        (folder / name).write_text("x")
    files, prefix = document_files.found(folder / "b" / "..")
    assert ([name for name, _ in files], prefix) == (["hand book/a.md", "hand book/b/c.md"], "hand book/")
    assert document_files.found(folder / "a.md") == ([("a.md", (folder / "a.md").resolve())], None)
