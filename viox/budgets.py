"""Commands about budgets: what is used of them, and raising one."""

from __future__ import annotations

from typing import Any

from shared.operations import budgets
from viox import deployment, output


async def show(name: str | None, limit: int, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        items = await budgets.listed(pool, name, limit)
    finally:
        await pool.close()
    if as_json:
        output.emit(output.listing(items, None))
        return
    table = [(i["name"], f"{i['of']} a {i['per']}", i["scope"], _used(i), _waiting(i["waiting"])) for i in items]
    empty = "no budgets; a gateway publishes them when it starts"
    output.table(["budget", "of", "for", "used", "waits"], table, empty=empty)


async def raise_(name: str, by: str | None, to: str, scope: str | None, measure: str | None, *, as_json: bool) -> None:
    """Raise a budget, in the name of somebody who may decide."""
    person = deployment.people().approver(by)
    pool = await deployment.pool()
    try:
        raised, limit = await budgets.raise_(pool, name, person, to, scope, measure)
    finally:
        await pool.close()
    if as_json:
        output.emit(raised)
    else:
        told = f" for {scope}" if scope else ""
        output.say(f"{person.name} raises {name}{told} to {limit}; what waits for it goes on")


def _used(item: dict[str, Any]) -> str:
    what = item["measure"].removeprefix("money:").replace("model_usd", "USD of model work")
    raised = f" (raised from {item['limit']})" if item["raised_to"] != item["limit"] else ""
    return f"{item['used']} of {item['raised_to']} {what}{raised}"


def _waiting(runs: int) -> str:
    return "" if not runs else "a run" if runs == 1 else f"{runs} runs"
