"""A stored document that does not fit is left out and named; a gateway starts and follows all the same."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Document
from services.tool_gateway.catalogue.importer import Wish, import_document
from services.tool_gateway.catalogue.library import Library, fitting
from shared.errors import BadInput
from tests.unit.gateway.test_importer import SOURCE, document, get
from viox.importing import fits, joined

OURS = set(catalogue.load().tools)


def stored(name: str, **about: Any) -> Document:
    made = import_document(document(things=get()), SOURCE, Wish(name))
    made.document["info"]["x-viox"] |= about
    return Document(name, made.document)


def with_tool(name: str, tool: str) -> Document:
    made = stored(name)
    made.content["paths"]["/things"]["get"]["x-viox"]["tool"] = tool
    return made


BROKEN = {
    "no document": Document("bad", {"openapi": "3.1.0"}),
    "no object": Document("bad", cast(Any, [1])),
    "paths": Document("bad", {**stored("bad").content, "paths": {"/things": {"get": {"x-viox": "?"}}}}),
    "agent": stored("bad", granted_to=["nobody"]),
    "granted": stored("bad", granted_to=7),
    "rate": stored("bad", rate={"per_second": 0}),
    "our tool": with_tool("bad", "stripe_get_balance"),
    "its tool": with_tool("bad", "shop_getThing"),
}


@pytest.mark.parametrize("bad", BROKEN.values(), ids=BROKEN.keys())
def test_a_document_at_fault_is_left_out_and_the_rest_is_there(bad: Document) -> None:
    found, (left,) = fitting([], [stored("shop"), bad, stored("zoo")])
    assert set(found.tools) - OURS == {"shop_getThing", "zoo_getThing"}
    assert left.document == "bad"
    assert left.as_dict()["message"]
    assert "viox tools withdraw bad" in str(left.error)


class Documents:
    """The table of imported documents, and what was published from it."""

    def __init__(self, *documents: Document) -> None:
        self.held = list(documents)
        self.published: list[set[str]] = []

    async def documents_stamp(self) -> str:
        return str([(one.name, id(one)) for one in self.held])

    async def documents(self) -> list[tuple[str, Any]]:
        return [(one.name, one.content) for one in self.held]

    async def publish(self, found: catalogue.Catalogue) -> None:
        self.published.append(set(found.tools) - OURS)


def library(store: Documents) -> Library:
    return Library(cast(Any, store), [], {})


async def test_a_gateway_starts_with_a_document_that_does_not_fit() -> None:
    made = library(Documents(BROKEN["agent"], stored("shop")))
    with capture_logs() as lines:
        assert set((await made.read()).tools) - OURS == {"shop_getThing"}
        await made.read()
    (told,) = [str(line["error"]) for line in lines if line["log_level"] == "error"]
    assert "bad" in told
    assert "info.x-viox.granted_to" in told
    assert "viox tools withdraw bad" in told
    assert [one.document for one in made.left_out] == ["bad"]


async def test_a_change_leaves_it_out_too_and_its_repair_brings_it_back() -> None:
    store = Documents(stored("shop"))
    made = library(store)
    await made.read()
    following = asyncio.create_task(made.follow())
    for held, expected in (([BROKEN["paths"], stored("zoo")], {"zoo_getThing"}), ([stored("bad")], {"bad_getThing"})):
        store.held = held
        made.wake()
        async with asyncio.timeout(60):
            while not store.published or store.published[-1] != expected:
                await asyncio.sleep(0.01)
        assert [one.document for one in made.left_out] == (["bad"] if len(held) == 2 else [])
    following.cancel()


def test_an_import_is_compared_with_what_is_there_and_not_kept_off_by_what_is_left_out() -> None:
    made, wanted = import_document(document(things=get()), SOURCE, Wish("shop")), Wish("shop")
    with pytest.raises(BadInput, match="two tools are called 'shop_getThing'"):
        fits(made, [with_tool("zoo", "shop_getThing")], wanted)
    assert "shop_getThing" in joined(made, [BROKEN["agent"], stored("shop")], wanted, replace=True).tools
