"""`viox knowledge`: the business's documents, which agents search and cite. Adding a changed file replaces what was of it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from services.tool_gateway.memory.pieces import pieces_of
from shared.errors import BadInput, NotFound
from shared.operations import paging
from shared.runs import timestamp
from shared.store.sql import Queries
from viox import deployment, document_files, output
from viox.document_files import Document, Refused

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def add(path: Path, by: str, *, as_json: bool) -> None:
    """A file, or all files below a folder. Raises BadInput when none of them can be read."""
    files, prefix = document_files.found(path)
    pool = await deployment.pool()
    try:
        items = [await _added(pool, name, file, by) for name, file in files]
        names = [item["name"] for item in items]
        gone = [row["name"] for row in await pool.fetch(*SQL.bind("others", prefix=prefix, names=names))]
    finally:
        await pool.close()
    if all(item["state"] == "refused" for item in items):
        told = "; ".join(f"{item['name']}: {item['reason']}" for item in items[:5]) or "there is no file in it"
        raise BadInput("knowledge.unreadable", f"{told}.", field="PATH", remedy=f"What is read: {document_files.READ}.")
    for name in gone:
        output.warn(f"{name} is not in the folder any more: `viox knowledge remove {name}` if it holds no longer")
    _tell(items, as_json=as_json)


def _tell(items: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.emit(output.listing(items, None))
        return
    rows = [(item["state"], item["name"], item["reason"] or f"{item['pieces']} pieces") for item in items]
    output.table(["state", "document", ""], rows, empty="no files")


async def _added(pool: Any, name: str, file: Path, by: str) -> dict[str, Any]:
    """What became of one file: added, replaced, unchanged or refused."""
    try:
        document = document_files.read(name, file)
    except Refused as error:
        return {"name": name, "state": "refused", "reason": str(error), "pieces": 0}
    pieces = pieces_of(document.text, headings=document.headings)
    state = await _stored(pool, document, [{"place": one.place, "text": one.text} for one in pieces], by)
    return {"name": name, "state": state, "reason": None, "pieces": len(pieces)}


async def _stored(pool: Any, document: Document, pieces: list[dict[str, str]], by: str) -> str:
    numbered = [piece | {"ordinal": ordinal} for ordinal, piece in enumerate(pieces)]
    values = {
        "document": "doc_" + sha256(document.name.encode()).hexdigest()[:20],
        "name": document.name,
        "title": document.title,
        "media_type": document.media_type,
        "sha256": sha256(document.raw).hexdigest(),
        "bytes": len(document.raw),
        "by": by,
    }
    async with pool.acquire() as connection, connection.transaction():
        before = await connection.fetchval(*SQL.bind("before", name=document.name))
        if before == values["sha256"]:
            return "unchanged"
        await connection.execute(*SQL.bind("put", **values))
        await connection.execute(*SQL.bind("clear", document=values["document"]))
        await connection.execute(*SQL.bind("fill", document=values["document"], pieces=numbered))
    return "replaced" if before else "added"


async def show(limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List the documents, newest first."""
    at, last = paging.cursor_of(cursor)
    pool = await deployment.pool()
    try:
        rows = await pool.fetch(*SQL.bind("listed", at=at, last=last, limit=limit + 1))
    finally:
        await pool.close()
    following = paging.next_of(rows[limit - 1], "added_at", "document_id") if len(rows) > limit else None
    items = [_document(row) for row in rows[:limit]]
    if as_json:
        output.emit(output.listing(items, following))
        return
    table = [(i["name"], i["pieces"], _embedded(i), i["added_by"], i["added_at"], i["title"]) for i in items]
    empty = "no documents: add some with `viox knowledge add PATH`"
    output.table(["document", "pieces", "by meaning", "added by", "at", "title"], table, empty=empty)
    output.more(following)


async def remove(name: str, by: str, *, as_json: bool) -> None:
    """Remove a document, or with a folder's name and / all that came from it. Raises NotFound."""
    pool = await deployment.pool()
    try:
        names = [row["name"] for row in await pool.fetch(*SQL.bind("called", name=name))]
        for one in names:
            await pool.fetchval(*SQL.bind("remove", name=one, by=by))
    finally:
        await pool.close()
    if not names:
        raise NotFound(
            "knowledge.not_found", f"no document is called {name!r}.", field="NAME", remedy="See `viox knowledge`."
        )
    output.emit({"removed": names, "by": by}) if as_json else output.say(f"removed {', '.join(names)}")


def _document(row: Any) -> dict[str, Any]:
    named = {
        key: row[key] for key in ("name", "title", "media_type", "bytes", "sha256", "added_by", "pieces", "embedded")
    }
    return {"id": row["document_id"]} | named | {"added_at": timestamp(row["added_at"])}


def _embedded(item: dict[str, Any]) -> str:
    return "yes" if item["embedded"] == item["pieces"] else f"{item['embedded']} of {item['pieces']}"
