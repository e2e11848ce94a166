"""Commands about budgets: what is used of them, and raising one."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from shared.errors import BadInput, Conflict, NotFound
from shared.store.sql import Queries
from viox import deployment, output

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def show(name: str | None, limit: int, *, as_json: bool) -> None:
    pool = await deployment.pool()
    try:
        rows = await pool.fetch(*SQL.bind("listed", name=name, limit=limit))
    finally:
        await pool.close()
    items = [_document(row) for row in rows]
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
        chosen = await _measure(pool, name, measure)
        most = _amount(to, chosen)
        wanted = {"name": name, "measure": chosen, "scope": scope or ""}
        came = await pool.fetchval(*SQL.bind("raise", **wanted, most=most, person=person.name))
        _check(came, chosen, await pool.fetchval(*SQL.bind("limit_now", **wanted)))
    finally:
        await pool.close()
    if as_json:
        output.emit({"name": name, "measure": chosen, "scope": scope, "limit": _plain(chosen, most), "by": person.name})
    else:
        told = f" for {scope}" if scope else ""
        output.say(f"{person.name} raises {name}{told} to {_words(chosen, most)}; what waits for it goes on")


async def _measure(pool: Any, name: str, given: str | None) -> str:
    """What is raised: the budget's only measure, or the one that is named. A currency stands for money in it."""
    found = [row["measure"] for row in await pool.fetch(*SQL.bind("measures", name=name))]
    if not found:
        names = ", ".join(row["name"] for row in await pool.fetch(SQL["names"]))
        raise NotFound("budget.not_found", f"there is no budget {name!r}.", field="NAME", remedy=f"One of {names}.")
    short = {measure.rsplit(":", 1)[-1]: measure for measure in found}
    if given is None and len(found) == 1:
        return str(found[0])
    if given is None or given.lower() not in short:
        raise BadInput(
            "option.invalid", "say what is raised.", field="--measure", remedy=f"One of {', '.join(sorted(short))}."
        )
    return str(short[given.lower()])


def _amount(given: str, measure: str) -> int:
    """What people write, as it is counted: dollars of model work in millionths, money in minor units."""
    from shared.money import places

    scale = 6 if measure == "model_usd" else places(measure[6:]) if measure.startswith("money:") else 0
    try:
        amount = Decimal(given.replace(",", "")).scaleb(scale)
        if amount == int(amount) and 0 <= amount < 2**53:
            return int(amount)
    except (InvalidOperation, OverflowError, ValueError):
        pass
    raise BadInput("option.invalid", f"{given!r} is no amount.", field="--to", remedy="For instance 1500 or 1500.00.")


def _check(came: str, measure: str, limit: int | None) -> None:
    if came == "scope":
        raise BadInput(
            "option.missing", "say for which run.", field="--scope", remedy="The run's id; `viox runs` has it."
        )
    if came == "unknown":
        told = "the gateway has just published other budgets."
        raise Conflict("budget.not_found", told, field="NAME", remedy="See `viox budgets`.")
    if came == "lower":
        told = _words(measure, limit or 0)
        raise Conflict("budget.not_raised", f"its limit is {told} already.", field="--to", remedy="Give more.")


def _document(row: Any) -> dict[str, Any]:
    amounts = {name: _plain(row["measure"], row[name]) for name in ("used", "limit", "raised_to")}
    named = {name: row[name] for name in ("name", "of", "per", "measure", "scope")}
    return named | amounts | {"waiting": row["waiting"]}


def _plain(measure: str, amount: int) -> int | str:
    """Counts as numbers; money as texts, so that no reader makes fractions of binary digits of it."""
    from shared.money import as_plain

    if measure == "model_usd":
        return f"{Decimal(amount) / 1_000_000:.6f}"
    return as_plain(amount, measure[6:]) if measure.startswith("money:") else amount


def _words(measure: str, amount: int) -> str:
    from shared.budgets import in_words

    return in_words(measure, amount)


def _used(item: dict[str, Any]) -> str:
    what = item["measure"].removeprefix("money:").replace("model_usd", "USD of model work")
    raised = f" (raised from {item['limit']})" if item["raised_to"] != item["limit"] else ""
    return f"{item['used']} of {item['raised_to']} {what}{raised}"


def _waiting(runs: int) -> str:
    return "" if not runs else "a run" if runs == 1 else f"{runs} runs"
