"""Generated documents are those of the code, and say what they must."""

from __future__ import annotations

import json

import jsonschema_rs

from shared.bus import asyncapi, topics
from viox import docs


def test_pages_are_up_to_date() -> None:
    for path, content in docs.pages():
        assert (docs.REFERENCE / path).read_text() == content, f"{path}: run `make docs`"


def test_asyncapi_names_every_topic_and_resolves() -> None:
    document = asyncapi.document()
    assert set(document["channels"]) == {t.name for t in topics.all_topics()}
    for channel in document["channels"].values():
        for reference in channel["messages"].values():
            assert reference["$ref"].rsplit("/", 1)[1] in document["components"]["messages"]


def test_published_schemas_accept_and_refuse() -> None:
    schema = json.loads((docs.REFERENCE / "schemas" / "viox.lead.created.json").read_text())
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"email": "a@b.co", "amount_cents": 100})
    assert not validator.is_valid({"email": "a@b.co", "amount_cents": -1})
    assert not validator.is_valid({})
