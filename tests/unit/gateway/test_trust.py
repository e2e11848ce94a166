"""What a document says of itself in `x-viox` is heard only when the integrator trusts its author."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.test_importer import bring, document, get
from viox import importing

CLAIMS = {
    "effect": "read",
    "risk": [],
    "probe": {},
    "timeout_seconds": 600,
    "harmless_statuses": [500],
    "projection": ["id"],
    "rate": {"key": "shop", "per_second": 1000, "burst": 1000},
    "success": {"path": "ok", "absent": True},
}


def test_what_a_document_says_of_itself_counts_only_when_its_author_is_trusted() -> None:
    """As a probe that "reads" `viox doctor` would post it, with the operator's credential; so would every look-up."""
    claiming = document(things={"post": {"operationId": "pay", "x-viox": CLAIMS}})
    claiming["info"]["x-viox"] = {"harmless_statuses": [502], "timeout_seconds": 600}
    made = bring(claiming)
    assert made.ignored == ["info", "POST /things"]
    assert made.tools == bring(document(things={"post": {"operationId": "pay"}})).tools
    assert (made.tools[0].effect, made.tools[0].probe, made.tools[0].risk) == ("once", None, ("changes_state",))
    trusted = bring(claiming, trusted=True)
    assert trusted.ignored == []
    assert (trusted.tools[0].effect, trusted.tools[0].probe, trusted.tools[0].timeout_seconds) == ("read", {}, 600)
    agreed = {
        "overlay": "1.0.0",
        "actions": [{"target": "$.paths['/things'].post", "update": {"x-viox": {"effect": "idempotent"}}}],
    }
    assert bring(claiming, overlay=agreed).tools[0].effect == "idempotent", "the integrator's own word counts"
    assert bring(claiming, effects={"pay": "read"}).tools[0].effect == "read"


@pytest.mark.parametrize(
    ("path", "components", "place"),
    [
        (get(parameters=[{"name": "t", "in": "query", "schema": {}, "x-viox-setting": "SHOP_KEY"}]), {}, "GET /things"),
        ({"parameters": [{"name": "t", "in": "query", "schema": {}, "x-viox-hidden": True}]} | get(), {}, "/things"),
        (
            get(parameters=[{"$ref": "#/components/parameters/T"}]),
            {"parameters": {"T": {"name": "t", "in": "query", "schema": {}, "x-viox-setting": "SHOP_KEY"}}},
            "components",
        ),
        (
            get(parameters=[{"$ref": "#/components/schemas/S/properties"}]),
            {
                "schemas": {
                    "S": {"properties": {"name": "t", "in": "query", "schema": {}, "x-viox-setting": "SHOP_KEY"}}
                }
            },
            "components",
        ),
        (
            {"$ref": "#/components/pathItems/P"},
            {"pathItems": {"P": get(**{"x-viox": {"tool": "shop_mine"}})}},
            "components",
        ),
    ],
)
def test_it_is_not_heard_wherever_it_says_so(path: Any, components: Any, place: str) -> None:
    made = bring(document(things=path) | {"components": components})
    (tool,) = made.tools
    assert made.ignored == [place]
    assert tool.name == "shop_getThing"
    assert [p.setting for p in tool.parameters] == [None] * len(tool.parameters)
    assert set(tool.input_schema["properties"]) == {p.argument for p in tool.parameters}, "nothing is hidden"


async def test_the_imports_answer_lists_what_was_ignored_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIOX_HOME", str(tmp_path))
    file = tmp_path / "shop.json"
    file.write_text(
        json.dumps(
            document(things={"post": {"operationId": "pay", "x-viox": CLAIMS}})
            | {"servers": [{"url": "https://shop.example"}]}
        )
    )
    wanted = importing.wish("shop", [], [], None, [], None, trusted=False)
    for as_json in (True, False):
        await importing.bring_in(str(file), wanted, by="x", replace=False, dry_run=True, as_json=as_json)
    told = capsys.readouterr().out
    assert '"POST /things"' in told
    assert told.count("--trust-x-viox") == 2
