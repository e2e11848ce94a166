"""What an import tells: what is to be filled in, what many operations have in common, and what it would change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue.catalogue import Document
from services.tool_gateway.catalogue.changes import between
from services.tool_gateway.catalogue.importer import Import
from tests.unit.gateway.test_importer import bring, document, get
from viox.import_report import Report

SERVERS = {"servers": [{"url": "https://shop.example"}]}


def report(made: Import, before: Import | None = None, **more: Any) -> Report:
    earlier = Document(before.name, before.document) if before else None
    given: dict[str, Any] = {"stored": False, "compared": True, "missing": [], "many": {}}
    return Report(made, before=earlier, most=128, **(given | more))


def told(one: Report, capsys: pytest.CaptureFixture[str]) -> str:
    one.tell()
    return capsys.readouterr().out


def query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


BEFORE = bring(
    document(
        same=get(operationId="same"),
        odd=get(operationId="odd"),
        moved=get(operationId="moved"),
        old=get(operationId="old"),
    )
    | SERVERS,
    grants=["closer", "voice"],
)
AFTER = bring(
    document(
        same=get(operationId="same"),
        odd=get(operationId="odd", parameters=[query("page")], summary="Other words."),
        elsewhere=get(operationId="moved"),
        added=get(operationId="added"),
    )
    | SERVERS,
    grants=["voice"],
)


def test_a_new_version_is_compared_tool_by_tool() -> None:
    found = between(BEFORE.tools, AFTER.tools)
    assert found.new == ["shop_added"]
    assert found.gone == ["shop_old"]
    assert found.changed == {"shop_odd": ["description", "arguments"], "shop_moved": ["operation"]}
    assert found.same == 1


def test_the_same_version_changes_nothing() -> None:
    found = between(BEFORE.tools, BEFORE.tools)
    assert (found.new, found.changed, found.gone, found.same) == ([], {}, [], 4)


def test_what_would_change_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(report(AFTER, BEFORE), capsys)
    assert "new: shop_added\n" in text
    assert "changed: shop_odd: description, arguments\n" in text
    assert "gone: shop_old\n" in text
    assert "1 new, 2 changed, 1 gone, 1 as they were" in text
    assert "no longer granted to: closer" in text


def test_programs_get_the_same() -> None:
    given = report(AFTER, BEFORE).document()
    assert given["changes"] == {
        "new": ["shop_added"],
        "changed": {"shop_odd": ["description", "arguments"], "shop_moved": ["operation"]},
        "gone": ["shop_old"],
        "same": 1,
    }
    assert report(AFTER).document()["changes"] is None
    json.dumps(given)


def test_a_version_that_does_not_fit_any_more_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Import("shop", {"info": {"x-viox": {}}, "paths": {"/a": {"get": {}}}}, [], [], [])
    assert "does not fit any more" in told(report(AFTER, broken), capsys)


def test_without_a_deployment_nothing_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not compared" in told(report(AFTER, compared=False), capsys)


def test_operations_left_out_for_one_reason_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    scheme = {"type": "oauth2", "flows": {"implicit": {"scopes": {}}}}
    paths = {f"p{n}": get(operationId=f"p{n}", security=[{"Person": []}]) for n in range(40)}
    made = bring(
        document(**paths, ping=get(operationId="ping"))
        | SERVERS
        | {"components": {"securitySchemes": {"Person": scheme}}}
    )
    lines = [line for line in told(report(made), capsys).splitlines() if line.startswith("not imported")]
    assert len(lines) == 1
    assert "GET /p0" in lines[0]
    assert "and 35 more" in lines[0]
    assert len(report(made).document()["skipped"]) == 40


def test_remarks_say_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    header = {"name": "Authorization", "in": "header", "schema": {"type": "string"}}
    made = bring(document(a=get(operationId="a", parameters=[header])) | SERVERS)
    assert "[GET /a]" in told(report(made), capsys)
    (remark,) = report(made).document()["remarks"]
    assert remark["operations"] == ["GET /a"]
