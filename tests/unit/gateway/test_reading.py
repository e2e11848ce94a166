"""Answers as vendors send them: what is readable in any way is no reason to doubt a call that was carried out."""

from __future__ import annotations

import codecs
import gzip
import zlib
from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.json_text import MAX_DEPTH, TOO_DEEP
from services.tool_gateway.call.outcome import AttemptResult, of_answer
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import Success

TOOLS = catalogue.load().tools
ONCE = replace(TOOLS["hubspot_create_deal"], projection=())
READ = replace(TOOLS["hubspot_get_deal"], projection=())
ANY = replace(READ, answer="any")
JSON = "application/json"
PAGE = b"<!DOCTYPE html><html><head><title>Sign in &amp; go on</title></head><body>...</body></html>"


def told(body: bytes, kind: str | None = JSON, status: int = 200, tool: Any = ONCE, **more: str) -> AttemptResult:
    headers = [("Content-Type", kind)] if kind is not None else []
    return of_answer(tool, Answer(status, headers + [(k.replace("_", "-"), v) for k, v in more.items()], body), 1)


def value(body: bytes, kind: str | None = JSON, **more: Any) -> Any:
    found = told(body, kind, **more)
    assert found.state == "succeeded", found
    return found.result


# -- charsets -----------------------------------------------------------------------------------------------------------

TEXT = '{"id": "d-9", "city": "Zürich"}'
FOUND = {"id": "d-9", "city": "Zürich"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TEXT.encode(), "application/json; charset=utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), JSON),
        (codecs.BOM_UTF8 + TEXT.encode(), "application/json; charset=iso-8859-1"),  # the mark knows better
        (TEXT.encode("latin-1"), 'application/json;charset="ISO-8859-1"'),
        (TEXT.encode("latin-1"), "application/json; charset=latin1; q=1"),
        (TEXT.encode("latin-1"), JSON),  # against the standard, and common
        (TEXT.encode("latin-1"), "application/json; charset=utf-8"),
        (TEXT.encode("cp1252"), "application/json; charset=windows-1252"),
        (TEXT.encode("utf-16"), "application/json; charset=utf-16"),
        (TEXT.encode("utf-16"), JSON),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), JSON),
        (TEXT.encode("utf-16-le"), "application/json; charset=utf-16"),
        (TEXT.encode("utf-16-be"), JSON),
        (TEXT.encode("utf-32"), JSON),
        (TEXT.encode("utf-32-le"), JSON),
        (TEXT.encode(), "application/json; charset=klingon"),
        (TEXT.encode(), "application/json; charset=unicode_escape"),
        (TEXT.encode(), "application/json; charset=rot13"),
        (TEXT.encode(), "APPLICATION/VND.API+JSON; Charset=UTF8"),
        (TEXT.encode(), "text/html"),
        (TEXT.encode(), "text/plain"),
        (TEXT.encode(), ""),
        (TEXT.encode(), None),
    ],
)
def test_json_is_read_in_whatever_charset_it_comes(body: bytes, kind: str | None) -> None:
    assert value(body, kind) == FOUND


def test_windows_1252_is_meant_by_latin_1() -> None:
    assert value('{"price": "5 €"}'.encode("cp1252"), "application/json; charset=iso-8859-1") == {"price": "5 €"}


def test_a_character_cut_in_its_middle_costs_that_character_only() -> None:
    assert value('{"id": 7, "a": "Zürich", "b": "'.encode() + b'M\xc3"}') == {"id": 7, "a": "Zürich", "b": "M\ufffd"}


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("Grüezi".encode("latin-1"), "text/plain; charset=iso-8859-1", "Grüezi"),
        ("Grüezi".encode("latin-1"), "text/plain", "Grüezi"),
        ("Grüezi".encode("utf-16"), "text/plain", "Grüezi"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1"), "application/xml", "ü"),
        ('<html><meta charset="windows-1250"><body>ř'.encode("cp1250"), "text/html", "ř"),
        ("ключ".encode("koi8-r"), "text/csv; charset=koi8-r", "ключ"),
    ],
)
def test_text_is_read_in_its_charset(body: bytes, kind: str, text: str) -> None:
    found = value(body, kind, tool=ANY)
    assert text in found["text"]
    assert found["content_type"] == kind.split(";")[0]


# -- no body ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"\r\n", b" \t ", b"\0", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\n\0\r\0"])
@pytest.mark.parametrize("kind", [JSON, "text/html; charset=utf-8", "application/x-ndjson", None])
def test_a_blank_body_is_nothing(body: bytes, status: int, kind: str | None) -> None:
    assert value(body, kind, status=status) is None


# -- JSON that is none, strictly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"id": "t", "cut": "See you \\ud83d"}', {"id": "t", "cut": "See you \ufffd"}),
        (b'{"id": "t", "\\udc00": "\\udc00\\ud83d"}', {"id": "t", "\ufffd": "\ufffd\ufffd"}),
        (b'{"id": "t", "whole": "\\ud83d\\ude00", "half": "\\ud83d"}', {"id": "t", "whole": "😀", "half": "\ufffd"}),
        (b'{"id": "t", "n": [NaN, Infinity, -Infinity]}', {"id": "t", "n": [None, None, None]}),
        (b'{"id": "t", "n": 1e999}', {"id": "t", "n": "1e999"}),
        (b'{"id": "t", "text": "a\tb\nc"}', {"id": "t", "text": "a\tb\nc"}),
        (b'{"id": 1, "id": 2}', {"id": 2}),
        (b'{"id": "t"}\0\0', {"id": "t"}),
        (b'{"id": "t"}\n<!-- 0.03 s -->', {"id": "t"}),
        (b'{"id": "t"}<br />\n<b>Warning</b>: Cannot modify header', {"id": "t"}),
        (b"<br />\n<b>Notice</b>: Undefined index in [x.php]\n" + b'{"id": "t"}', {"id": "t"}),
        (b")]}',\n" + b'{"id": "t"}', {"id": "t"}),
        (b'while(1);{"id": "t"}', {"id": "t"}),
        (b'/**/cb({"id": "t"});', {"id": "t"}),
        (b'{"id": 1}\n{"id": 2}', [{"id": 1}, {"id": 2}]),
        (b'{"id": 1}{"id": 2}', [{"id": 1}, {"id": 2}]),
    ],
)
def test_what_a_strict_reader_refuses_is_read_all_the_same(body: bytes, found: Any) -> None:
    assert value(body) == found
    assert value(codecs.BOM_UTF8 + body) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("9007199254740993", 9007199254740993),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 5000, "9" * 5000),
        ("12345678901234567.89", "12345678901234567.89"),
        ("0.12345678901234567890", 0.12345678901234567890),
        ("1.5e30", 1.5e30),
        ("19.99", 19.99),
    ],
)
def test_a_number_is_exact_or_its_digits(written: str, found: Any) -> None:
    """A rounded id is another one."""
    assert value(f'{{"id": {written}}}'.encode()) == {"id": found}
    assert value(f"[1,{written}]".encode()) == [1, found]


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, 200, 254, 300, 900])
@pytest.mark.parametrize("inner", [b"1", b"NaN"])
def test_nesting_ends_where_nobody_reads_on(depth: int, inner: bytes) -> None:
    found = value(b'{"id": "t", "deep": ' + b"[" * depth + inner + b"]" * depth + b"}")
    assert found["id"] == "t"
    orjson.dumps({"a": {"message": {"around": {"it": found}}}})
    assert (TOO_DEEP in str(found)) == (depth >= MAX_DEPTH)


def test_what_no_reader_bears_is_kept_as_the_text_it_is() -> None:
    body = b'{"id": "t", "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert value(body).text == body


# -- lines --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-ndjson",
        "application/jsonl; charset=utf-8",
        "application/json-lines",
        "application/jsonlines",
        "application/stream+json",
        "application/json-seq",
    ],
)
def test_lines_of_json_are_a_list(kind: str) -> None:
    assert value(b'{"id": 1}\r\n\n{"id": 2}\n', kind) == [{"id": 1}, {"id": 2}]
    assert value(b'\x1e{"id": 1}\n\x1e{"id": 2}\n', kind) == [{"id": 1}, {"id": 2}]
    assert value(b'{"id": 1}', kind) == [{"id": 1}]
    assert value(b'{"id": 1}\n{"id": 2, "na', kind) == [{"id": 1}, '{"id": 2, "na']
    assert value(b'{\n  "id": 1,\n  "name": "x"\n}', kind) == [{"id": 1, "name": "x"}]


def test_each_line_is_projected() -> None:
    tool = replace(ONCE, projection=("id",))
    assert value(b'{"id": 1, "secret": 2}\n{"id": 3}', "application/x-ndjson", tool=tool) == [{"id": 1}, {"id": 3}]


# -- other types --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        (b"ok", "text/plain", {"content_type": "text/plain", "text": "ok"}),
        (b"Accepted", "text/html", {"content_type": "text/html", "text": "Accepted"}),
        (b"OK", None, {"content_type": "", "text": "OK"}),
        (b"2031-01-02", "text/plain", {"content_type": "text/plain", "text": "2031-01-02"}),
        (b"10.0.0.1", "text/plain", {"content_type": "text/plain", "text": "10.0.0.1"}),
        (b"<r><id>7</id></r>", "text/xml", {"content_type": "text/xml", "text": "<r><id>7</id></r>"}),
        (b"%PDF-1.7 \xff\xfe", "application/pdf", {"content_type": "application/pdf", "bytes": 11}),
        (b"id=7&tag=a&tag=b&x=", "application/x-www-form-urlencoded", {"id": "7", "tag": ["a", "b"], "x": ""}),
        (b"id=7&n=M%FCller", "application/x-www-form-urlencoded; charset=utf-8", {"id": "7", "n": "M\ufffdller"}),
    ],
)
def test_another_type_than_json_is_what_it_is(body: bytes, kind: str | None, found: Any) -> None:
    assert value(body, kind) == found
    assert value(body, kind, tool=READ) == found


# -- what proves nothing --------------------------------------------------------------------------------------------------


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PAGE, "text/html"),
        (codecs.BOM_UTF8 + b"\n<!-- proxy -->" + PAGE, "text/html; charset=utf-8"),
        (PAGE, JSON),
        (PAGE, None),
        (b"<br />\n<b>Fatal error</b>: out of memory", "text/html"),
        (b'{"id": ', JSON),
        (b'{"id": "t", "na', "text/plain"),
        (b"<r/>", JSON),
        (b"\x89\xff\x00\x01", None),
    ],
)
def test_a_page_or_half_an_answer_is_no_proof(body: bytes, kind: str | None) -> None:
    """Somebody between us and the vendor can have answered: a look-up, or a person, says what happened."""
    assert told(body, kind).state == "unknown"
    assert told(body, kind, tool=READ).state == "requested"


def test_the_page_of_a_status_that_nobody_in_between_sends_is_the_vendors_own() -> None:
    assert value(PAGE, "text/html", status=201)["text"].startswith("<!DOCTYPE")
    assert value(PAGE, "text/html", tool=ANY)["text"].startswith("<!DOCTYPE"), "where pages are what the tool answers"


def test_a_page_is_named_by_its_title() -> None:
    assert "Sign in & go on" in str(told(PAGE, "text/html").error)
    assert (told(PAGE, "text/html", status=403).error or {})["message"] == "Sign in & go on"


@pytest.mark.parametrize(
    ("body", "kind"), [(b"", JSON), (b"ok", "text/plain"), (b"{}", JSON), (b"<r/>", "text/xml"), (b"null", JSON)]
)
def test_an_answer_that_does_not_say_whether_is_no_refusal(body: bytes, kind: str) -> None:
    """Told "failed", a model would do it again."""
    asks = replace(ONCE, success=Success("success", one_of=(True,)))
    assert told(body, kind, tool=asks).state == "unknown"
    assert told(b'{"success": false}', tool=asks).state == "failed"
    assert told(b"", kind, tool=asks, status=204).state == "succeeded"


def test_an_error_is_understood_in_any_charset() -> None:
    body = '{"message": "Zürich is too far"}'.encode("utf-16")
    assert (told(body, JSON, status=400).error or {})["message"] == "Zürich is too far"


# -- content encodings ----------------------------------------------------------------------------------------------------

PLAIN = b'{"id": "t", "pad": "' + b"x" * 500 + b'"}'
RAW_DEFLATE = zlib.compress(PLAIN)[2:-4]


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0), "GZip"),
        (gzip.compress(PLAIN, mtime=0), "x-gzip"),
        (gzip.compress(PLAIN, mtime=0), None),  # the header got lost
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "gzip, gzip"),
        (gzip.compress(PLAIN[:40], mtime=0) + gzip.compress(PLAIN[40:], mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0) + b"\0\0", "gzip"),
        (gzip.compress(PLAIN, mtime=0)[:-8], "gzip"),  # no checksum
        (zlib.compress(PLAIN), "deflate"),
        (RAW_DEFLATE, "deflate"),
        (PLAIN, "gzip"),  # the header was left behind
        (PLAIN, "deflate"),
        (PLAIN, "br"),
        (PLAIN, "utf-8"),
        (PLAIN, "identity"),
    ],
)
def test_the_bytes_say_whether_they_are_encoded(body: bytes, coding: str | None) -> None:
    headers = {"Content_Encoding": coding} if coding else {}
    assert value(body, **headers)["id"] == "t"


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(PLAIN, mtime=0)[:30], "gzip"),
        (b"\x1b\x00\x01", "br"),
        (gzip.compress(b"x" * 10_000_001, mtime=0), "gzip"),
    ],
)
def test_what_cannot_be_unfolded_proves_nothing(body: bytes, coding: str) -> None:
    assert told(body, Content_Encoding=coding).state == "unknown"


# -- size ---------------------------------------------------------------------------------------------------------------


def test_what_is_too_large_to_be_read_is_kept_as_the_text_it_is() -> None:
    small = replace(ONCE, max_answer_bytes=1000)
    body = orjson.dumps({"id": "t", "rows": ["é"] * 1000})
    found = value(body, tool=small)
    assert (found.text, found.media_type, found.whole) == (body, "application/json", True)
    assert found.reference("pl_1")["$payload"]["preview"].startswith('{"id":"t"')
    assert value(gzip.compress(body), tool=small, Content_Encoding="gzip") == found
    wide = value(body.decode().encode("utf-16"), "application/json; charset=utf-16", tool=small)
    assert wide == found, "it is kept in the charset of everything that is kept"
    cut = of_answer(ONCE, Answer(201, [], body[:501], cut=True), 1)
    assert (cut.state, cut.result.text, cut.result.whole) == ("succeeded", body[:501], False)


def test_what_is_cut_off_inside_its_encoding_is_named_by_its_size() -> None:
    body = gzip.compress(b"x" * 100)[:-20]
    cut = of_answer(ONCE, Answer(201, [("Content-Encoding", "gzip")], body, cut=True), 1)
    assert (cut.state, cut.result) == ("succeeded", {"truncated": True, "bytes": len(body)})


def test_a_long_text_is_kept_as_text() -> None:
    found = value(b"line\n" * 60_000, "text/plain", tool=ANY)
    assert (found.text, found.media_type, found.outline) == (b"line\n" * 60_000, "text/plain", None)


@pytest.mark.parametrize(
    ("said", "told_"),
    [
        (
            'Property values were not valid: [{"isValid": false, "message": "Email address a@b is invalid", "name": "email"}]',
            "Property values were not valid: Email address a@b is invalid",
        ),
        ('Two are wrong: [{"message": "no name"}, {"message": "no date"}]', "Two are wrong: no name; no date"),
        ('It says: {"message": "closed"}', "It says: closed"),
        ('Not valid: [{"name": "email"}]', 'Not valid: [{"name": "email"}]'),
        ("Use one of: [new, old]", "Use one of: [new, old]"),
        ("Nothing: []", "Nothing: []"),
    ],
)
def test_json_inside_of_a_vendors_sentence_is_told_in_its_words(said: str, told_: str) -> None:
    body = orjson.dumps({"message": said})
    assert (told(body, JSON, status=400).error or {})["message"] == told_
