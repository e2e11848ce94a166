"""What the business remembers: facts, notes and documents, found by entity, by words and by meaning.

Words and meaning each make a list of the best; what stands high in either comes first (reciprocal rank fusion). Every item says
where it comes from, how sure its writer was, and whether text from outside had been read by whoever wrote it. An answer
with such an item marks the conversation: from the next turn on it has read text from outside.

About an entity, what is remembered of all that are confirmed to be the same person is found; who may be is only named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from services.tool_gateway.answers.answer import Answer
from services.tool_gateway.catalogue.tools import Tool
from services.tool_gateway.connectors.own import answered, refused, request_for
from services.tool_gateway.memory import links
from services.tool_gateway.memory.embeddings import Embeddings, Vector, as_text
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.prepared import Prepared
from services.tool_gateway.wire.transport import Gate, MaybeSent, NotSent
from shared.errors import BadInput, VioxError
from shared.ids import parse_call_id
from shared.store.pool import Pool, is_transient
from shared.store.sql import Queries
from shared.telemetry.logs import get_logger
from shared.waiting import within

SQL = Queries(Path(__file__).with_name("memory.sql"))
EVERYTHING, DOCUMENTS = ["fact", "note", "document"], ["document"]
DEPTH = 50  # of each of the two lists
DEFAULT_ITEMS = 8
QUESTION_SECONDS = 4.0  # for the vector of a question; without one, words alone are searched
LONGEST_VALUE = 500  # characters of a fact's value as JSON
log = get_logger(__name__)


def prepare(tool: Tool, arguments: Mapping[str, Any], secrets: Secrets, key: str) -> Prepared:
    """The tool's work (the last part of its path) with its arguments."""
    return request_for(tool, arguments, key, "memory")


class Memory:
    """Remembers, recalls, links, forgets."""

    def __init__(self, pool: Pool, embeddings: Embeddings | None) -> None:
        self._pool = pool
        self._embeddings = embeddings
        self._work = {
            "remember": self._remember,
            "recall": self._recall,
            "search": self._search_documents,
            "forget": self._forget,
            "link": self._link,
        }

    async def send(self, prepared: Prepared, seconds: float, gate: Gate) -> Answer:
        """One piece of work. Raises NotSent or MaybeSent when Postgres did not say how it ended."""
        work = self._work[prepared.url.rsplit("/", 1)[-1]]
        given = orjson.loads(prepared.body)
        try:
            await gate()
            return answered(await work(given))
        except BadInput as error:
            raise _final(error) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            if isinstance(error, asyncpg.PostgresError) and not is_transient(error):
                return refused(error.sqlstate or "", str(error), getattr(error, "hint", None))
            raise MaybeSent("postgres.no_answer", f"{type(error).__name__}: {error}.") from error

    async def _remember(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Facts about one entity, one after the other: a later one of the call may replace an earlier one."""
        facts = [_fact(given["call_id"], index, fact) for index, fact in enumerate(given["facts"])]
        vectors = await self._vectors([fact["text"] for fact in facts])
        told = []
        async with self._pool.acquire() as connection, connection.transaction():
            entity = await connection.fetchval(*SQL.bind("lock", entity=given["entity"]))
            for fact, vector in zip(facts, vectors, strict=True):
                embedded = {
                    "model": self._embeddings.name if self._embeddings and vector else None,
                    "embedding": as_text(vector),
                }
                row = await connection.fetchrow(*SQL.bind("remember", entity=entity, **fact, **embedded))
                told.append(dict(row or {}))
        return {"entity": entity, "facts": told}

    async def _recall(self, given: Mapping[str, Any]) -> dict[str, Any]:
        entity, question = given.get("entity") or None, (given.get("question") or "").strip() or None
        if entity is None and question is None:
            raise BadInput(
                "memory.nothing_asked",
                "neither entity nor question is given.",
                field="question",
                remedy="Give one of them, or both.",
            )
        limit = given.get("limit") or DEFAULT_ITEMS
        same = await links.same_person(self._pool, entity)
        known_as = await links.known_as(self._pool, entity) if entity else None
        if question is None:
            rows = await self._pool.fetch(*SQL.bind("about", entities=same, limit=limit))
            return await self._told(given["call_id"], rows, None, known_as)
        return await self._found(given["call_id"], question, same, EVERYTHING, limit, known_as)

    async def _search_documents(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return await self._found(
            given["call_id"], given["question"], None, DOCUMENTS, given.get("limit") or DEFAULT_ITEMS
        )

    async def _link(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return await links.link(self._pool, given)

    async def _found(
        self,
        call: str,
        question: str,
        entities: list[str] | None,
        kinds: list[str],
        limit: int,
        known_as: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        (vector,) = await self._vectors([question], asking=True)
        by = (
            {"model": "", "floor": 0.0}
            if self._embeddings is None
            else {"model": self._embeddings.name, "floor": self._embeddings.floor}
        )
        rows = await self._pool.fetch(
            *SQL.bind(
                "search",
                question=question,
                vector=as_text(vector),
                entities=entities,
                kinds=kinds,
                depth=DEPTH,
                limit=limit,
                **by,
            )
        )
        return await self._told(call, rows, ["words", "meaning"] if vector else ["words"], known_as)

    async def _told(
        self, call: str, rows: Sequence[Any], searched: list[str] | None, known_as: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """The items, and about an entity who else it is. Where one is tainted, the conversation is marked before it gets them."""
        items = [_item(row) for row in rows]
        tainted = any(item["from_outside"] for item in (*items, *(known_as or ())))
        if tainted:
            await self._pool.execute(*SQL.bind("mark", call=call))
        told: dict[str, Any] = {"items": items, "from_outside": tainted}
        told |= {"same_as": known_as} if known_as is not None else {}
        return told | ({"searched_by": searched} if searched else {})

    async def _forget(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Facts, notes and links of an entity: those that are named, or all. Others who are or may be the same person are left, and
        named."""
        items, everything = given.get("ids") or None, bool(given.get("everything"))
        if (items is None) != everything:
            raise BadInput("memory.what", "say what to forget.", field="ids", remedy="Give ids, or everything: true.")
        others = await links.known_as(self._pool, given["entity"])
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchval(*SQL.bind("lock", entity=given["entity"]))
            await connection.execute(
                *SQL.bind("forget", entity=given["entity"], items=items, reason=given["reason"], call=given["call_id"])
            )
            rows = await connection.fetch(*SQL.bind("forgotten", call=given["call_id"]))
        left = [{name: one[name] for name in ("entity", "state")} for one in others]
        return {"forgotten": [dict(row) for row in rows]} | ({"left": left} if left else {})

    async def _vectors(self, texts: list[str], *, asking: bool = False) -> list[Vector | None]:
        """None for each where no model answers in time: the index gives facts theirs later."""
        if self._embeddings is None:
            return [None] * len(texts)
        try:
            return await within(QUESTION_SECONDS, self._embeddings.embed(texts, asking=asking))
        except (VioxError, TimeoutError) as error:
            log.warning("memory.no_vector", error=error)
            return [None] * len(texts)


def _final(error: BadInput) -> NotSent:
    made = NotSent(error.code, error.message, field=error.field, remedy=error.remedy)
    made.final = True
    return made


def _fact(call: str, index: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """A fact of a call as it is stored. The same call twice makes the same ones. Raises BadInput."""
    name, value, text = given.get("name"), given.get("value"), (given.get("text") or "").strip()
    if (name is None) != (value is None) or not (text or name):
        raise BadInput(
            "memory.no_fact",
            "a fact has a text, or a name and a value.",
            field=f"facts.{index}",
            remedy='For instance {"text": "Prefers to be called in the evening"} or {"name": "budget", "value": 1200}.',
        )
    if value is not None and len(orjson.dumps(value)) > LONGEST_VALUE:
        raise BadInput(
            "memory.too_long",
            f"longer than {LONGEST_VALUE} characters.",
            field=f"facts.{index}.value",
            remedy="Write a note.",
        )
    words = (
        str(value).lower()
        if isinstance(value, bool)
        else value
        if isinstance(value, str)
        else orjson.dumps(value).decode()
    )
    return {
        "fact": "fact_" + sha256(f"{call}\0{index}".encode()).hexdigest()[:20],
        "call": call,
        "name": name,
        "value": value,
        "text": text or f"{name}: {words}",
        "confidence": float(given.get("confidence", 1.0)),
    }


def _item(row: Any) -> dict[str, Any]:
    """One item as a model is told it: what is so, who says so, and how it was found."""
    item: dict[str, Any] = {"kind": row["kind"], "id": row["item_id"], "text": row["text"]}
    if row["kind"] == "document":
        item |= {
            "from_outside": False,
            "source": {"document": row["document"], "title": row["title"], "place": row["place"]},
        }
    else:
        item |= {"entity": row["entity"], "from_outside": row["tainted"], "source": _source(row)}
    if row["kind"] == "fact":
        item |= {"confidence": round(row["confidence"], 3)}
        item |= {"name": row["name"], "value": row["value"]} if row["name"] is not None else {}
    if row["similarity"] is not None:
        item["similarity"] = round(row["similarity"], 3)
    return item


def _source(row: Any) -> dict[str, Any]:
    source = {"call_id": row["source_call"], "agent": row["agent"], "at": row["created_at"]}
    try:
        run, step, _ = parse_call_id(row["source_call"])
    except ValueError:  # a note from before calls wrote them
        return source
    return source | {"run_id": str(run), "step": step}
