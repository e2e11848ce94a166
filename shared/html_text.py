"""The words of HTML, without what a reader does not see."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import ClassVar

_BLANKS = re.compile(r"[ \t\r\f\v\xa0]+")


class HtmlText(HTMLParser):
    """The words of a page, paragraph by paragraph, headings and list items as in Markdown."""

    SKIPPED: ClassVar = frozenset({"script", "style", "template", "noscript", "svg", "nav", "head", "select", "button"})
    BLOCKS: ClassVar = frozenset(
        {
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "fieldset",
            "figcaption",
        }
        | {"figure", "footer", "form", "header", "hr", "main", "ol", "p", "pre", "section", "summary", "table", "ul"}
    )
    HEADINGS: ClassVar = {f"h{level}": "#" * level for level in range(1, 7)}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._skipping: list[str] = []
        self._title: list[str] | None = None
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title, self._title = True, self._title or []
        if tag == "body":
            self._skipping.clear()  # whatever of the head was left open
        if tag in self.SKIPPED:
            self._skipping.append(tag)
        elif tag in self.HEADINGS:
            self._parts.append(f"\n\n{self.HEADINGS[tag]} ")
        elif tag in self.BLOCKS:
            self._parts.append("\n\n")
        elif tag in ("br", "tr", "li"):
            self._parts.append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th"):
            self._parts.append(" | " if self._parts and not self._parts[-1].endswith("\n") else "")

    def handle_endtag(self, tag: str) -> None:
        self._in_title &= tag != "title"
        if tag in self._skipping:
            del self._skipping[self._skipping.index(tag) :]
        elif tag in self.HEADINGS or tag in self.BLOCKS:
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._in_title and self._title is not None:
            self._title.append(data)
        elif not self._skipping:
            self._parts.append(" ".join(data.split("\n")) if data.strip() else " ")

    def title(self) -> str | None:
        return " ".join("".join(self._title or []).split()) or None

    def text(self) -> str:
        lines = [_BLANKS.sub(" ", line).strip() for line in "".join(self._parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
