"""`viox tools import` and `withdraw`: other people's endpoints into a running deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.tool_gateway.catalogue import catalogue, foreign, reading
from services.tool_gateway.catalogue.importer import Import, Wish, import_document, settings_of, words
from services.tool_gateway.catalogue.library import LeftOut, fitting
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.guard import Guard
from services.tool_gateway.wire.transport import Wire
from shared.bus import topics
from shared.errors import BadInput, Conflict, NotFound, Unavailable
from shared.operations.store import SQL
from shared.settings import Settings
from viox import deployment, import_report, output

MANY_TOOLS = 128  # what OpenAI's Chat Completions accept in one request


def wish(
    name: str,
    grants: Sequence[str],
    effects: Sequence[str],
    overlay: Path | None,
    hosts: Sequence[str],
    base_url: str | None,
    *,
    trusted: bool,
) -> Wish:
    """What the options say. Raises BadInput naming the option."""
    agents = [
        topics.canonical_agent(part.strip()) or part.strip()
        for one in grants
        for part in one.split(",")
        if part.strip()
    ]
    chosen: dict[str, str] = {}
    for one in effects:
        operation, sign, effect = one.rpartition("=")
        if not sign or not operation:
            raise BadInput(
                "option.invalid",
                f"{one!r} is not OPERATION=EFFECT.",
                field="--effect",
                remedy="For instance --effect createJob=idempotent.",
            )
        chosen[operation] = effect
    return Wish(name, agents, chosen, _overlay(overlay), list(hosts), base_url, trusted)


async def bring_in(source: str, wanted: Wish, *, by: str, replace: bool, dry_run: bool, as_json: bool) -> None:
    """Read, check against everything that is there, store, tell."""
    if dry_run:
        made = await _read(source, wanted)
        others = await imported()
        before = _earlier(made, others or [])
        whole = joined(made, others or [], wanted, replace=replace)
    else:
        others = []
        made, whole, before = await _store(source, wanted, by=by, replace=replace)
    many = {agent: len(names) for agent in wanted.grants if len(names := whole.tools_of(agent)) > MANY_TOOLS}
    missing = [name for name in made.secrets() if Secrets(os.environ).or_none(name) is None]
    report = import_report.Report(
        made,
        stored=not dry_run,
        compared=others is not None,
        before=before,
        missing=missing,
        many=many,
        most=MANY_TOOLS,
    )
    output.emit(report.document()) if as_json else report.tell()


async def store(source: str, wanted: Wish, *, by: str, replace: bool) -> tuple[Import, catalogue.Catalogue]:
    """Read a document and put it into the deployment's catalogue, which is returned too. Raises BadInput or Conflict."""
    made, whole, _ = await _store(source, wanted, by=by, replace=replace)
    return made, whole


async def _store(
    source: str, wanted: Wish, *, by: str, replace: bool
) -> tuple[Import, catalogue.Catalogue, catalogue.Document | None]:
    """The same, with what was there under its name before."""
    made = await _read(source, wanted)
    pool = await deployment.pool()
    try:
        async with pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(SQL["documents_for_import"])
            others = [catalogue.Document(*row) for row in rows]
            whole = joined(made, others, wanted, replace=replace)
            await connection.execute(SQL["put_document"], made.name, made.document, len(made.tools), by)
    finally:
        await pool.close()
    return made, whole, _earlier(made, others)


def _earlier(made: Import, others: Sequence[catalogue.Document]) -> catalogue.Document | None:
    return next((document for document in others if document.name == made.name), None)


async def imported() -> list[catalogue.Document] | None:
    """What was imported into the deployment, by name; None when there is no deployment here."""
    try:
        pool = await deployment.pool()
    except Unavailable as error:
        if error.code != "stack.not_running":
            raise
        return None
    try:
        return [catalogue.Document(*row) for row in await pool.fetch(SQL["documents"])]
    finally:
        await pool.close()


async def tools() -> tuple[catalogue.Catalogue, list[LeftOut], list[catalogue.Document] | None]:
    """The catalogue as the gateway has it, what does not fit into it, and what was imported (None without a deployment)."""
    documents = await imported()
    return *fitting(catalogue.extra_documents(Settings.load().catalogue), documents or []), documents


def joined(made: Import, imported: Sequence[catalogue.Document], wanted: Wish, *, replace: bool) -> catalogue.Catalogue:
    """The whole catalogue with this in it. Raises Conflict when its name is taken, BadInput when it does not fit."""
    if any(document.name == made.name for document in imported) and not replace:
        raise Conflict(
            "document.exists",
            f"{made.name!r} was imported before.",
            field="--name",
            remedy="Say --replace, or take another name; --dry-run --replace shows what would change.",
        )
    return fits(made, [document for document in imported if document.name != made.name], wanted)


async def _read(source: str, wanted: Wish) -> Import:
    wire = Wire(Guard.of(os.environ), max_response_bytes=foreign.MAX_BYTES)
    try:
        raw, url = await foreign.fetch(source, wire)
    finally:
        await wire.aclose()
    return import_document(foreign.parse(raw), url, wanted)


async def withdraw(name: str, *, as_json: bool) -> None:
    """Take an imported document's tools away."""
    pool = await deployment.pool()
    try:
        tools = await pool.fetchval(SQL["withdraw_document"], name)
    finally:
        await pool.close()
    if tools is None:
        raise NotFound(
            "document.not_found", f"no document {name!r} was imported.", field="NAME", remedy="See `viox tools`."
        )
    output.emit({"name": name, "withdrawn": tools}) if as_json else output.say(f"{tools} tools of {name} are withdrawn")


def fits(made: Import, others: Sequence[catalogue.Document], wanted: Wish) -> catalogue.Catalogue:
    """The whole catalogue, with this in it, which must be sound. Raises BadInput."""
    vendors = {tool.vendor for tool in catalogue.load().tools.values()} | {"smtp"}
    if made.name in vendors:
        raise BadInput(
            "option.invalid", f"{made.name} is a vendor of the catalogue.", field="--name", remedy="Take another."
        )
    files = catalogue.extra_documents(os.environ.get("VIOX_CATALOGUE"))
    left_out = {one.document for one in fitting(files, others)[1]}  # in nobody's way: the gateway does not use them
    kept = [document for document in others if document.name not in left_out]
    whole = catalogue.load(files, imported=[*kept, catalogue.Document(made.name, made.document)])
    theirs = {name for tool in whole.tools.values() if tool.vendor != made.name for name in settings_of(tool)}
    wants = {name for tool in made.tools for name in settings_of(tool)}
    for name in sorted(wants & theirs - set(words(wanted.overlay))):
        raise BadInput(
            "option.invalid",
            f"{name} is a setting of another vendor.",
            field="--name",
            remedy="Take another name, or name the setting in an overlay.",
        )
    return whole


def _overlay(file: Path | None) -> Mapping[str, Any] | None:
    if file is None:
        return None
    try:
        found = reading.read(file.read_bytes())
    except (OSError, *reading.UNREADABLE) as error:
        raise BadInput("file.unreadable", f"{file}: {error}.", field="--overlay") from error
    if not isinstance(found, dict):
        raise BadInput("overlay.invalid", "not an OpenAPI Overlay 1.0 document.", field="--overlay")
    return found
