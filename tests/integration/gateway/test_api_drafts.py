"""Drafts of other people's APIs: read through the outbound guard, kept, and nobody's until a person imports them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.connectors.apis import Drafts
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import NotSent
from shared.store.pool import Pool

CATALOGUE = catalogue.load()
SHOP: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1", "x-viox": {"granted_to": ["closer"]}},
    "servers": [{"url": "https://shop.example.com/v1"}],
    "paths": {
        "/orders/{id}": {
            "get": {
                "operationId": "order",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            }
        },
        "/orders": {
            "post": {"operationId": "placeOrder", "requestBody": {"content": {"application/json": {"schema": {}}}}}
        },
    },
}


class Shop:
    """A server with a document."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.app = web.Application()
        self.app.add_routes([web.get("/openapi.json", self._document), web.get("/page", self._page)])

    async def _document(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response(SHOP)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text="<html>")


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Shop, str]]:
    made = Shop()
    runner = web.AppRunner(made.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield made, f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    await runner.cleanup()


async def drafted(pool: Pool, url: str, name: str = "shop", *, loopback: bool = True) -> Any:
    tool = CATALOGUE.tools["api_draft"]
    given = {"name": name, "url": url}
    assert tool.problem_with(given) is None
    prepared = prepare(tool, given, Secrets({}), key="r.1.0")
    drafts = Drafts(pool, CATALOGUE, Guard(loopback=loopback))
    try:
        return orjson.loads((await drafts.send(prepared, 20, _agreed)).body)
    finally:
        await drafts.aclose()


async def _agreed() -> None:
    """A gate that lets everything through."""


async def test_a_draft_is_kept_and_granted_to_nobody(gateway_pool: Pool, admin: Any, shop: tuple[Shop, str]) -> None:
    server, url = shop
    for _ in range(2):  # a repeat of the call changes nothing
        told = await drafted(gateway_pool, f"{url}/openapi.json")
    assert {one["tool"]: one["effect"] for one in told["tools"]} == {"shop_order": "read", "shop_placeOrder": "once"}
    assert told["granted_to"] == [], "whatever the document says of itself"
    assert "Authorization" not in server.headers[0]
    row = await admin.fetchrow("select * from records where entity = 'api-draft:shop'")
    assert (json.loads(row["data"])["count"], row["version"]) == (2, 1)
    assert await admin.fetchval("select count(*) from documents") == 0, "no tool comes of a draft"


async def test_the_guard_says_where_documents_may_be(gateway_pool: Pool, shop: tuple[Shop, str]) -> None:
    server, url = shop
    with pytest.raises(NotSent) as refused:
        await drafted(gateway_pool, f"{url}/openapi.json", loopback=False)
    assert refused.value.final
    assert server.headers == []


@pytest.mark.parametrize(
    ("path", "name", "code"),
    [
        ("/page", "shop", "document."),
        ("/none", "shop", "document.unreachable"),
        ("/openapi.json", "stripe", "document.exists"),
    ],
)
async def test_what_is_no_document_or_is_there_is_refused_by_name(
    gateway_pool: Pool, shop: tuple[Shop, str], path: str, name: str, code: str
) -> None:
    with pytest.raises(NotSent) as refused:
        await drafted(gateway_pool, shop[1] + path, name)
    assert refused.value.code.startswith(code)
    assert refused.value.final
