"""Large answers: read in a process of their own that has no secret, as they would be read here; too large ones are cut."""

from __future__ import annotations

import gzip
import operator
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web

from sandbox.vendors.hubspot import TOKEN
from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.answers.apart import SMALL_BYTES, is_large, read_apart
from services.tool_gateway.answers.reading import read
from services.tool_gateway.call import outcome
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import MAX_ANSWER_BYTES, MAX_RESPONSE_BYTES
from tests.integration.gateway.world import World, gateway_world, wants

__all__ = ["gateway_world"]
LIST = replace(catalogue.load().tools["hubspot_search_deals"], projection=("results.*.id",))
ROWS = {"results": [{"id": str(n), "links": {"self": "é" * 20}} for n in range(8000)]}
TYPE = [("Content-Type", "application/json; charset=utf-8")]


async def test_what_is_large_is_read_elsewhere_and_says_the_same() -> None:
    body = orjson.dumps(ROWS)
    for answer in (
        Answer(200, TYPE, body),
        Answer(200, [*TYPE, ("Content-Encoding", "gzip")], gzip.compress(body)),
        Answer(200, TYPE, body[:-1] + b',"half":"\\ud83d","n":NaN}'),
        Answer(200, TYPE, b"[" * 150_000 + b"]" * 150_000),
        Answer(200, TYPE, body[:-5]),
    ):
        assert is_large(answer, MAX_ANSWER_BYTES)
        assert await outcome.reading_of(LIST, answer) == read(outcome.form_of(LIST), answer)


def test_what_is_small_or_not_read_at_all_is_seen_to_here() -> None:
    assert not is_large(Answer(200, TYPE, b"x" * SMALL_BYTES), MAX_ANSWER_BYTES)
    assert not is_large(Answer(200, TYPE, b"x" * (MAX_ANSWER_BYTES + 1)), MAX_ANSWER_BYTES)
    bomb = gzip.compress(b"x" * MAX_RESPONSE_BYTES)
    assert is_large(Answer(200, [("Content-Encoding", "gzip")], bomb), MAX_ANSWER_BYTES)


async def test_the_reader_has_a_process_without_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_of_the_gateway")
    assert await read_apart(os.getpid) != os.getpid()
    assert await read_apart(os.getenv, "STRIPE_API_KEY") is None


async def test_a_reading_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(ValueError, match="memory"):
        await read_apart(operator.mul, "x", 4_000_000_000)


# -- the whole way ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def endless(world: World) -> AsyncIterator[dict[str, Any]]:
    """A HubSpot that does what it is asked and answers at any length."""
    told: dict[str, Any] = {"status": 201, "body": b"", "asked": 0}

    async def answer(request: web.Request) -> web.Response:
        told["asked"] += 1
        return web.Response(status=told["status"], body=told["body"], content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    world.secrets |= {"HUBSPOT_BASE_URL": f"http://127.0.0.1:{runner.addresses[0][1]}", "HUBSPOT_ACCESS_TOKEN": TOKEN}
    yield told
    await runner.cleanup()


DEAL = {
    "properties": {"dealname": "Roof", "dealstage": "contractsent"},
    "associations": [
        {"to": {"id": "7"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]}
    ],
}


@pytest.mark.rule(9)
@pytest.mark.parametrize("size", [SMALL_BYTES, 1_500_000, 3_000_000, 12_000_000])
async def test_a_single_effect_is_not_in_doubt_for_the_size_of_its_answer(
    world: World, endless: dict[str, Any], size: int
) -> None:
    endless["body"] = orjson.dumps({"id": "77", "pad": "x" * size})
    gateway = await world.gateway("outcomes", "resumer")
    await gateway.intake.accept([wants("hubspot_create_deal", DEAL)])
    row = await world.state("succeeded")
    assert endless["asked"] == 1
    result = orjson.loads(row["result"])
    if size < MAX_ANSWER_BYTES:
        assert result == {"id": "77"}
    else:
        told = result["$payload"]
        assert (told["whole"], told["bytes"]) == (
            size < MAX_RESPONSE_BYTES,
            min(len(endless["body"]), MAX_RESPONSE_BYTES),
        )
    kept = await world.admin.fetchval(
        "select response_body from ledger_entries where call_id = $1 and phase = 'outcome'", row["call_id"]
    )
    assert kept == endless["body"][:MAX_RESPONSE_BYTES], "the exact bytes are on record, as many as are kept"
