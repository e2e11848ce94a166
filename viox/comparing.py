"""`viox run --diff A B`: where one run went another way than another."""

from __future__ import annotations

from typing import Any

from shared.operations import comparing, identify, words
from viox import deployment, output

MOST_LINES = 40  # of one difference


async def compare(first: str, second: str, *, as_json: bool) -> int:
    pool = await deployment.pool()
    try:
        a, b, found = await comparing.compared(pool, await identify.run(pool, first), await identify.run(pool, second))
    finally:
        await pool.close()
    if as_json:
        output.emit({"a": a["run_id"], "b": b["run_id"], "same": not found, "differences": found})
        return output.OK
    for run in (a, b):
        tokens = run["tokens"]["input"] + run["tokens"]["output"]
        output.say(f"{run['run_id']}  {run['agent']}  {words.run_end(run)}  {run['tool_calls']} calls, {tokens} tokens")
    for one in found:
        output.say()
        output.say(f"{_named('a', one['a'])}  {_named('b', one['b'])}".rstrip())
        for line in one["diff"][:MOST_LINES]:
            output.say(f"     {line}")
        if len(one["diff"]) > MOST_LINES:
            output.say(f"     ({len(one['diff']) - MOST_LINES} more lines: --json has them)")
    output.say("\nthe same steps" if not found else f"\n{len(found)} differences")
    return output.OK


def _named(run: str, head: dict[str, Any] | None) -> str:
    if head is None:
        return f"{run}: nothing"
    return f"{run}: step {head['step']}, {head['kind']}{' of ' + head['node'] if head['node'] else ''}"
