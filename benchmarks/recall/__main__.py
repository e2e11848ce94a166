"""How much of what is asked is found: `python -m benchmarks.recall`, on the embedded Postgres, through the gateway's own search.

A small business's documents and questions to them with known answers (documents/, questions.yaml). For each model, and for
words, vectors and both: is the answer the first item, among the first three, among the first five? And how many questions
that nothing answers still got an item?
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from sandbox.net import free_ports
from sandbox.postgres import Postgres
from services.tool_gateway.connectors.memory import DEPTH, DOCUMENTS, SQL
from services.tool_gateway.memory import local
from services.tool_gateway.memory.embeddings import Embeddings, Vector, as_text
from services.tool_gateway.memory.index import Index
from services.tool_gateway.memory.pieces import pieces_of
from shared.store.pool import Pool, open_pool

HERE = Path(__file__).parent
AT = (1, 3, 5)
NO_WORDS = "the"  # a question of stop words alone: only vectors find anything


@dataclass(frozen=True, slots=True)
class Question:
    ask: str
    at: str
    half: str
    language: str = "en"


def questions() -> list[Question]:
    given = yaml.safe_load((HERE / "questions.yaml").read_text())
    return [Question(half=half, **one) for half in ("first", "second") for one in given[half]]


async def fill(admin: Pool) -> int:
    """The documents, cut as `viox knowledge add` cuts them. How many pieces."""
    count = 0
    for file in sorted((HERE / "documents").glob("*.md")):
        await admin.execute(
            "insert into knowledge (document_id, name, title, media_type, sha256, bytes, added_by)"
            " values ($1, $1, $1, 'text/markdown', '', 0, 'bench')",
            file.name,
        )
        for ordinal, piece in enumerate(pieces_of(file.read_text())):
            await admin.execute(
                "insert into passages (document_id, ordinal, place, text) values ($1, $2, $3, $4)",
                file.name,
                ordinal,
                piece.place,
                piece.text,
            )
            count += 1
    return count


async def search(
    pool: Pool, question: str, vector: Vector | None, model: str, floor: float
) -> list[tuple[str, float | None]]:
    """(document and last heading, similarity) of what is found, best first."""
    rows = await pool.fetch(
        *SQL.bind(
            "search", question=question, vector=as_text(vector), entity=None, kinds=DOCUMENTS, depth=DEPTH, limit=AT[-1],
            model=model, floor=floor,
        )
    )  # fmt: skip
    return [(f"{row['document']} {row['place'].rsplit(' > ', 1)[-1]}", row["similarity"]) for row in rows]


async def of_model(pool: Pool, name: str, embeddings: Embeddings | None, floor: float | None) -> list[dict[str, Any]]:
    """One row for each way to search that needs this model, and each part of the questions."""
    asked = questions()
    vectors: Sequence[Vector | None] = [None] * len(asked)
    low, stored = 0.0, ""
    if embeddings:
        await Index(pool, embeddings).catch_up()
        vectors = await embeddings.embed([one.ask for one in asked], asking=True)
        low, stored = embeddings.floor if floor is None else floor, embeddings.name
    ways = {"vectors": (True, False), "both": (True, True)} if embeddings else {"words": (False, True)}
    made = []
    for way, (by_vector, by_words) in ways.items():
        found = [
            await search(pool, one.ask if by_words else NO_WORDS, vector if by_vector else None, stored, low)
            for one, vector in zip(asked, vectors, strict=True)
        ]
        for part in ("first", "second", "other languages", "no answer"):
            made.append({"model": name, "way": way, "part": part, **_figures(part, asked, found)})
    return made


def _figures(
    part: str, asked: Sequence[Question], found: Sequence[Sequence[tuple[str, float | None]]]
) -> Mapping[str, Any]:
    pairs = [
        (one, [place for place, _ in items]) for one, items in zip(asked, found, strict=True) if _part(one) == part
    ]
    if part == "no answer":
        return {"questions": len(pairs), "answered": sum(bool(places) for _, places in pairs)}
    hits = {f"recall@{at}": round(sum(one.at in places[:at] for one, places in pairs) / len(pairs), 3) for at in AT}
    return {"questions": len(pairs)} | hits


def _part(question: Question) -> str:
    if question.at == "none":
        return "no answer"
    return question.half if question.language == "en" else "other languages"


async def measure(floor: float | None) -> list[dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="viox-recall-"))
    (folder / "logs").mkdir()
    server = Postgres(folder, free_ports(1)[0])
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(server.prepare)
        owner = await open_pool(server.dsn("postgres"), application="recall", size=1)
        pool = await open_pool(server.dsn("viox_gateway"), application="recall", size=2)
        count = await fill(owner)
        print(f"{count} pieces, {len(questions())} questions", file=sys.stderr)
        made = await of_model(pool, "none", None, None)
        for name, known in local.MODELS.items():
            if find_spec(known.package) is None:
                print(f"{name} is not installed and was not measured", file=sys.stderr)
                continue
            embeddings = local.opened(name)
            made += await of_model(pool, name, embeddings, floor)
            await embeddings.close()
        await pool.close()
        await owner.close()
        return made
    finally:
        await asyncio.to_thread(server.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--floor", type=float, help="in the place of each model's own")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = asyncio.run(measure(given.floor))
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        told = [f"{key} {value:g}" for key, value in row.items() if key not in ("model", "way", "part", "questions")]
        print(f"{row['model']:<10} {row['way']:<8} {row['part']:<16} {row['questions']:>3}   {'   '.join(told)}")


if __name__ == "__main__":
    main()
