"""Files that people add as knowledge, as texts: what can be read well, and why something else is not.

Markdown, plain text and HTML, with what comes with Python. The text of a PDF has no order of reading that could be relied on,
and office files need a program to render them: whoever has one saves them as one of these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.tool_gateway.answers.charsets import declared_inside, decoded
from shared.errors import BadInput, NotFound
from shared.html_text import HtmlText

MOST_BYTES, MOST_FILES = 5_000_000, 5_000
MARKDOWN, TEXT, HTML = "text/markdown", "text/plain", "text/html"
MEDIA_TYPES = {".md": MARKDOWN, ".markdown": MARKDOWN, ".txt": TEXT, ".html": HTML, ".htm": HTML}
READ = ", ".join(MEDIA_TYPES)
WHY_NOT = {
    ".pdf": "the text of a PDF has no reliable order of reading; save it as text or HTML (pdftotext -layout)",
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pptx", ".odp"), "save it as HTML or text in its program"),
    **dict.fromkeys(
        (".xlsx", ".xls", ".ods", ".csv"), "a table says little in pieces; write down in sentences what holds"
    ),
}
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.DOTALL)
_HEADING = re.compile(r"^#{1,2}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\ufffd]")


@dataclass(frozen=True, slots=True)
class Document:
    """One file as it is kept. `name` is unique; `text` has its headings as in Markdown where `headings` says so."""

    name: str
    title: str
    media_type: str
    raw: bytes
    text: str

    @property
    def headings(self) -> bool:
        return self.media_type != TEXT


class Refused(Exception):
    """A file that is not read, and why."""


def found(path: Path) -> tuple[list[tuple[str, Path]], str | None]:
    """(name, file) of a file, or of all files below a folder, and what the names of the folder's begin with.

    Hidden ones are left out. Raises NotFound, BadInput.
    """
    if not path.exists():
        raise NotFound("file.not_found", f"there is no {path}.", field="PATH")
    whole = path.resolve()
    if whole.is_file():
        return [(whole.name, whole)], None
    files = list(_below(whole))
    if len(files) > MOST_FILES:
        raise BadInput(
            "folder.too_large", f"more than {MOST_FILES:,} files.", field="PATH", remedy="Add its folders one by one."
        )
    prefix = f"{whole.name}/"
    return [(prefix + file.relative_to(whole).as_posix(), file) for file in sorted(files)], prefix


def _below(folder: Path) -> Iterator[Path]:
    """Links that lead out of the folder are not followed."""
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(at) / name
            if not name.startswith(".") and file.resolve().is_relative_to(folder):
                yield file


def read(name: str, file: Path) -> Document:
    """Raises Refused with the reason for a person."""
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None:
        raise Refused(
            WHY_NOT.get(file.suffix.lower(), f"{file.suffix or 'a file without a suffix'} is not read; {READ} are")
        )
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Refused(f"larger than {MOST_BYTES:,} bytes; divide it")
        raw = file.read_bytes()
    except OSError as error:
        raise Refused(f"{error.strerror or error}") from error
    text = decoded(raw, declared_inside(raw) if media_type == HTML else None)
    if _NO_TEXT.search(text) or raw.startswith(b"%PDF"):
        raise Refused("it is no text, or in a charset that nothing says; save it as UTF-8")
    title, plain = _READERS[media_type](text)
    if not plain.strip():
        raise Refused("there is no text in it")
    return Document(name, (title or Path(name).stem)[:200], media_type, raw, plain)


def _markdown(text: str) -> tuple[str | None, str]:
    plain = _FRONT_MATTER.sub("", text)
    heading = _HEADING.search(plain)
    return heading[1] if heading else None, plain


def _html(text: str) -> tuple[str | None, str]:
    reader = HtmlText()
    reader.feed(text)
    reader.close()
    return reader.title(), reader.text()


_READERS = {MARKDOWN: _markdown, TEXT: lambda text: (None, text), HTML: _html}
