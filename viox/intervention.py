"""Commands that change something: cancel, settle, redrive, pause, resume."""

from __future__ import annotations

from typing import Any

from shared.errors import BadInput
from shared.operations import conversations, dead_letters, identify, store, unknowns
from shared.store.acting import acting
from viox import deployment, output


async def cancel(given: str, by: str, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        run_id = await identify.run(pool, given)
        with acting(by):
            await store.cancel(pool, run_id)
    finally:
        await pool.close()
    output.emit({"run_id": str(run_id), "cancelling": True}) if as_json else output.say(f"cancelling {run_id}")


async def settle(given: str, end: str, result: str | None, by: str, *, as_json: bool) -> None:
    unknowns.check_end(end)
    value = unknowns.result_of(result)
    pool = await deployment.pool()
    try:
        call_id = await identify.call(pool, given)
        document = await unknowns.settle(pool, call_id, end, value, by)
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


async def redrive(letter: str | None, by: str, *, everything: bool, as_json: bool) -> int:
    """Have one dead letter handled again, or all that may be. Exit code 1 when some of all may not; raises when the one may not."""
    if (letter is None) == (not everything):
        raise BadInput(
            "option.invalid", "name one dead letter, or say --all.", field="ID", remedy="See `viox dead-letters`."
        )
    pool = await deployment.pool()
    try:
        with acting(by):
            redriven, refused = await _redriven(pool, letter)
    finally:
        await pool.close()
    if as_json:
        output.emit({"redriven": redriven, "refused": refused})
    else:
        output.say(f"handled again: {len(redriven)}")
        for no in refused:
            output.say(f"not {no['dead_letter_id']}: {no['message']} {no['remedy'] or ''}".rstrip())
    return output.ERROR if refused else output.OK


async def _redriven(pool: Any, letter: str | None) -> tuple[list[str], list[dict[str, Any]]]:
    """(ids that are handled again, those that may not be and why): one letter, or all there are."""
    if letter is None:
        return await dead_letters.redrive_all(pool, await dead_letters.dead(pool))
    one = await identify.dead_letter(pool, letter)
    await store.redrive(pool, one)
    return [str(one)], []


async def pause(scope: str, by: str, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        named = await conversations.pause(pool, scope, by)
    finally:
        await pool.close()
    output.emit({"scope": named, "paused": True}) if as_json else output.say(f"{scope} is paused")


async def resume(scope: str, by: str, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        with acting(by):
            named = await conversations.resume(pool, scope)
    finally:
        await pool.close()
    output.emit({"scope": named, "paused": False}) if as_json else output.say(f"{scope} goes on")
