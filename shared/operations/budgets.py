"""Budgets: what is used of them, and raising one in the name of somebody who may decide."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.budgets import in_words
from shared.errors import BadInput, Conflict, NotFound
from shared.money import as_plain, places
from shared.store.sql import Queries

if TYPE_CHECKING:
    from shared.people import Person

SQL = Queries(Path(__file__).with_suffix(".sql"))


async def listed(pool: Any, name: str | None, limit: int) -> list[dict[str, Any]]:
    """What is used of the budgets today, and by the runs that are open."""
    return [_document(row) for row in await pool.fetch(*SQL.bind("listed", name=name, limit=limit))]


async def raise_(
    pool: Any, name: str, person: Person, to: str, scope: str | None, measure: str | None
) -> tuple[dict[str, Any], str]:
    """(what is raised to what, the limit in words). Raises BadInput, NotFound or Conflict."""
    chosen = await _measure(pool, name, measure)
    most = _amount(to, chosen)
    wanted = {"name": name, "measure": chosen, "scope": scope or ""}
    came = await pool.fetchval(*SQL.bind("raise", **wanted, most=most, person=person.name))
    _check(came, chosen, await pool.fetchval(*SQL.bind("limit_now", **wanted)))
    raised = {"name": name, "measure": chosen, "scope": scope, "limit": _plain(chosen, most), "by": person.name}
    return raised, in_words(chosen, most)


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
        told = in_words(measure, limit or 0)
        raise Conflict("budget.not_raised", f"its limit is {told} already.", field="--to", remedy="Give more.")


def _document(row: Any) -> dict[str, Any]:
    amounts = {name: _plain(row["measure"], row[name]) for name in ("used", "limit", "raised_to")}
    named = {name: row[name] for name in ("name", "of", "per", "measure", "scope")}
    return named | amounts | {"waiting": row["waiting"]}


def _plain(measure: str, amount: int) -> int | str:
    """Counts as numbers; money as texts, so that no reader makes fractions of binary digits of it."""
    if measure == "model_usd":
        return f"{Decimal(amount) / 1_000_000:.6f}"
    return as_plain(amount, measure[6:]) if measure.startswith("money:") else amount
