"""The customer's own sources: what is wrong with a configuration is named before anything is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.tool_gateway.webhooks import custom
from services.tool_gateway.webhooks.sources import load
from services.tool_gateway.wire.credentials import Secrets
from shared.errors import BadInput
from shared.redaction import Redactor

GOOD: dict[str, Any] = {
    "scheme": "shared-secret",
    "secret": "SHOP_SECRET",
    "type": "viox.lead.created",
    "domain": "sales",
    "id": "$.id",
}


def written(folder: Path, document: Any) -> Path:
    file = folder / "webhooks.yaml"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("stripe", {}, "stripe"),
        ("unknown", {}, "unknown"),
        ("Shop", {}, "Shop"),
        ("a/b", {}, "a/b"),
        ("shop", {"scheme": "md5"}, "shop.scheme"),
        ("shop", {"secret": "the-secret-itself"}, "shop.secret"),
        ("shop", {"scheme": "hmac-sha256"}, "shop"),
        ("shop", {"scheme": "standard-webhooks", "header": "X-A"}, "shop"),
        ("shop", {"domain": "finance"}, "shop.domain"),
        ("shop", {"type": "viox.lead.creatd"}, "type"),
        ("shop", {"id": "id"}, "shop.id"),
        ("shop", {"ids": "$.id"}, "shop.ids"),
        ("shop", {"header": "X A"}, "shop.header"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as found:
        custom.read(written(tmp_path, {name: GOOD | change}))
    assert found.value.field == field
    assert found.value.remedy


@pytest.mark.parametrize("document", ["- a", "a: [", ""])
def test_a_file_that_is_no_mapping(tmp_path: Path, document: str) -> None:
    with pytest.raises(BadInput):
        custom.read(written(tmp_path, document))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as found:
        custom.read(tmp_path / "none.yaml")
    assert found.value.field == "VIOX_WEBHOOKS"


def test_what_is_missing_is_said_by_the_names_of_settings(tmp_path: Path) -> None:
    file = written(tmp_path, {"shop": GOOD, "desk": GOOD | {"scheme": "standard-webhooks", "secret": "DESK_SECRET"}})
    values = {"DESK_SECRET": "not base64!", "STRIPE_WEBHOOK_SECRET": "whsec_1", "TWILIO_AUTH_TOKEN": "t"}
    standings = {one.source.name: one for one in load(str(file), Secrets(values), Redactor()).standings()}
    assert standings["stripe"].configured
    assert standings["twilio"].configured, "the token that calls are made with is the one that signs"
    assert standings["shop"].missing == ("SHOP_SECRET",)
    assert standings["desk"].problem == "DESK_SECRET: not a secret of the scheme standard-webhooks"
    assert "not base64!" not in repr(standings)


def test_one_unusable_secret_does_not_hide_the_other(tmp_path: Path) -> None:
    values = {"AIRTABLE_WEBHOOK_SECRET": "c2VjcmV0, not base64!"}
    sources = load(None, Secrets(values), Redactor())
    airtable = sources.get("airtable")
    assert airtable
    assert sources.secrets_of(airtable) == ["c2VjcmV0"]
    assert not sources.standing(airtable).configured
