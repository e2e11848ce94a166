"""Commands that change something: cancel, settle, redrive, pause, resume."""

from __future__ import annotations

from typing import Any

import orjson

from shared.bus import topics
from shared.bus.topics import MAX_INLINE_BYTES
from shared.errors import BadInput, VioxError
from viox import deployment, identify, output, store


async def cancel(given: str, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        run_id = await identify.run(pool, given)
        await store.cancel(pool, run_id)
    finally:
        await pool.close()
    output.emit({"run_id": str(run_id), "cancelling": True}) if as_json else output.say(f"cancelling {run_id}")


async def settle(given: str, end: str, result: str | None, by: str, *, as_json: bool) -> None:
    if end not in ("succeeded", "failed"):
        raise BadInput("option.invalid", f"{end!r} is not an end.", field="--as", remedy="Use succeeded or failed.")
    try:
        value = orjson.loads(result) if result is not None else None
    except orjson.JSONDecodeError as error:
        raise BadInput(
            "option.invalid", f"not JSON: {error}.", field="--result", remedy='For instance \'{"id": "12"}\'.'
        ) from error
    if result and len(result.encode()) > MAX_INLINE_BYTES:
        raise BadInput(
            "option.invalid",
            f"{len(result.encode()):,} bytes are more than a result may have, {MAX_INLINE_BYTES:,}.",
            field="--result",
            remedy="Say what the agent needs to go on with.",
        )
    pool = await deployment.pool()
    try:
        call_id = await identify.call(pool, given)
        document = await store.settle(pool, call_id, end, value, by)
    finally:
        await pool.close()
    output.emit(document) if as_json else output.say(f"{call_id} is {end} now; its run goes on")


async def show_dead_letters(
    state: str | None, service: str | None, cursor: str | None, limit: int, *, as_json: bool
) -> None:
    pool = await deployment.pool()
    try:
        items, following = await store.dead_letters(pool, state=state, service=service, cursor=cursor, limit=limit)
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, following))
        return
    rows = [(i["dead_letter_id"], i["service"], i["state"], i["topic"], i["code"], i["error"]) for i in items]
    output.table(["id", "service", "state", "topic", "code", "error"], rows, empty="no dead letters")
    output.more(following)


async def redrive(letter: str | None, *, everything: bool, as_json: bool) -> int:
    """Have one dead letter handled again, or all that may be. Exit code 1 when some of all may not; raises when the one may not."""
    if (letter is None) == (not everything):
        raise BadInput(
            "option.invalid", "name one dead letter, or say --all.", field="ID", remedy="See `viox dead-letters`."
        )
    redriven: list[str] = []
    refused: list[dict[str, Any]] = []
    pool = await deployment.pool()
    try:
        one = await identify.dead_letter(pool, letter) if letter is not None else None
        wanted = [one] if one else [row["dead_letter_id"] for row in await pool.fetch(store.SQL["dead_ids"])]
        for found in wanted:
            try:
                await store.redrive(pool, found)
            except VioxError as error:
                if one or error.retryable:
                    raise
                refused.append({"dead_letter_id": str(found)} | error.as_dict())
            else:
                redriven.append(str(found))
    finally:
        await pool.close()
    if as_json:
        output.emit({"redriven": redriven, "refused": refused})
    else:
        output.say(f"handled again: {len(redriven)}")
        for no in refused:
            output.say(f"not {no['dead_letter_id']}: {no['message']} {no['remedy'] or ''}".rstrip())
    return output.ERROR if refused else output.OK


async def pause(scope: str, by: str, *, as_json: bool) -> None:
    await _change("pause", [_scope(scope), by])
    output.emit({"scope": _scope(scope), "paused": True}) if as_json else output.say(f"{scope} is paused")


async def resume(scope: str, *, as_json: bool) -> None:
    await _change("resume", [_scope(scope)])
    output.emit({"scope": _scope(scope), "paused": False}) if as_json else output.say(f"{scope} goes on")


async def _change(statement: str, arguments: list[Any]) -> None:
    pool = await deployment.pool()
    try:
        kind, _, name = arguments[0].partition(":")
        if kind in ("tool", "vendor") and name not in {one[kind] for one in await store.tools(pool)}:
            raise BadInput(
                "scope.unknown",
                f"{name!r} is neither an agent nor a tool." if kind == "tool" else f"{name!r} is no vendor.",
                field="SCOPE",
                remedy="See `viox tools` and `viox status`.",
            )
        await pool.execute(store.SQL[statement], *arguments)
    finally:
        await pool.close()


def _scope(given: str) -> str:
    if given == "all" or given.startswith("vendor:"):
        return given
    agent = topics.canonical_agent(given)
    return f"agent:{agent}" if agent else f"tool:{given}"
