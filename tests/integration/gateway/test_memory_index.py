"""The index of memory: other models, models that are away, texts that one refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from services.tool_gateway.connectors.memory import Memory
from services.tool_gateway.memory.embeddings import Vector
from services.tool_gateway.memory.index import Index
from services.tool_gateway.wire.prepared import Prepared
from shared.errors import BadInput, Unavailable
from tests.integration.gateway.test_memory import ANA, talk, texts
from tests.integration.gateway.world import World, gateway_world, until

__all__ = ["gateway_world"]


class Moody:
    """A model that is away, or refuses texts with a word in them."""

    name, floor = "moody", 0.1

    def __init__(self) -> None:
        self.away, self.refuses = False, "refused"

    async def embed(self, texts: Sequence[str], *, asking: bool = False) -> list[Vector | None]:
        if self.away:
            raise Unavailable("embeddings.unavailable", "nobody there.", field="VIOX_EMBEDDINGS")
        if any(self.refuses in text for text in texts):
            raise BadInput("embeddings.refused", "not this.", field="VIOX_EMBEDDINGS")
        return [[1.0, 0.0, 0.0] for _ in texts]

    async def close(self) -> None:
        """Nothing to let go of."""


async def test_what_is_written_while_the_model_is_away_gets_its_vector_later(world: World) -> None:
    model = Moody()
    index, memory = Index(world.pool, model), Memory(world.pool, model)
    model.away = True
    body = {"entity": ANA, "facts": [{"text": "Ana signs on Monday"}], "call_id": "r.1.0"}
    answer = await memory.send(Prepared("SQL", "memory:/remember", [], orjson.dumps(body)), 5.0, _open)
    assert orjson.loads(answer.body)["facts"][0]["state"] == "new"
    asked = orjson.dumps({"question": "When does Ana sign?", "call_id": "r.2.0"})
    told = orjson.loads((await memory.send(Prepared("SQL", "memory:/recall", [], asked), 5.0, _open)).body)
    assert (texts(told), told["searched_by"]) == (["Ana signs on Monday"], ["words"])
    loop = asyncio.create_task(index.run())
    await until(lambda: index.problem)
    assert index.problem == "nobody there."
    model.away = False
    index.wake()
    await until(lambda: index.problem is None)
    loop.cancel()
    row = await world.admin.fetchrow("select model, dimension from passages")
    assert tuple(row) == ("moody", 3)
    assert tuple(await world.admin.fetchrow("select model, dimension from memory_model")) == ("moody", 3)


async def test_a_text_that_the_model_refuses_keeps_no_other_from_its_vector(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    for text in ("good", "refused", "also good"):
        await closer("notes_add", entity=ANA, text=text)
    index = Index(world.pool, Moody())
    await index.catch_up()
    rows = await world.admin.fetch("select text, model, embedding is not null as embedded from passages order by text")
    assert [tuple(row) for row in rows] == [
        ("also good", "moody", True),
        ("good", "moody", True),
        ("refused", "moody", False),
    ]


async def _open() -> None:
    """A gate that lets everything through."""


async def test_another_model_embeds_everything_anew(world: World) -> None:
    gateway = await world.gateway()
    closer = await talk(world, gateway)
    await closer("memory_remember", entity=ANA, facts=[{"text": "Ana signs on Monday"}])
    await world.admin.execute("update passages set model = 'other/model', embedding = '[1,0,0]'")
    told = await closer("memory_recall", question="signs Monday")
    assert texts(told) == ["Ana signs on Monday"], "by its words meanwhile"
    assert "similarity" not in told["items"][0], "vectors of different models are not compared"
    await gateway.index.catch_up()
    row = await world.admin.fetchrow("select model, dimension from passages")
    assert tuple(row) == (gateway.embeddings.name, 256)
    assert (await closer("memory_recall", question="signs Monday"))["items"][0]["similarity"] > 0.3


async def test_a_gateway_that_is_being_replaced_leaves_the_new_model_alone(world: World) -> None:
    old, new = await world.gateway(), await world.gateway()
    closer = await talk(world, old)
    await closer("memory_remember", entity=ANA, facts=[{"text": "Ana signs on Monday"}])
    new.embeddings.name = "wordllama/next"
    await old.index.catch_up()
    await new.index.catch_up()
    await old.index.catch_up()
    assert await world.admin.fetchval("select model from passages") == "wordllama/next"


async def test_an_index_with_nothing_to_do_does_not_wake_itself(world: World) -> None:
    heard: list[str] = []
    await world.admin.add_listener("viox_memory", lambda *told: heard.append(told[-1]))
    index = Index(world.pool, Moody())
    await index.catch_up()
    await index.catch_up()
    await world.admin.execute("select pg_notify('viox_memory', 'the last')")
    await until(lambda: heard)
    assert heard == ["the last"]
