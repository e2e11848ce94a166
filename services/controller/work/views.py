"""What several pieces of work read: the invoice, the order, the business's zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from services.controller import domain
from services.controller.domain import Invoice, Order
from shared.runtime.work import Result, Work

O = TypeVar("O", bound=Order)  # noqa: E741  # an order


def order(work: Work, kind: type[O]) -> O:
    found = domain.order_of(work.trigger.context, work.trigger.instruction)
    assert isinstance(found, kind)  # noqa: S101  # what_came looked
    return found


def what_is_wrong(work: Work) -> str | None:
    """What is missing in a task's context; None when it can be worked on."""
    try:
        domain.order_of(work.trigger.context, work.trigger.instruction)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return None


def zone(work: Work) -> ZoneInfo:
    return ZoneInfo(work.business.time_zone)


def told(moment: datetime) -> str:
    """A moment as tools take it."""
    return moment.isoformat(timespec="seconds")


def event_object(work: Work) -> dict[str, Any]:
    return domain.event_object(work.trigger.data)


def invoice(work: Work) -> Invoice | None:
    """The invoice that is worked on, as Stripe has it today; None when there is none."""
    found = work.result("invoice")
    if found is not None and found.ok and found.value is None:
        return None
    given = domain.newest(event_object(work), work.value("invoice"))
    return Invoice.model_validate(given) if given.get("id") else None


def objects(answer: Any) -> list[Mapping[str, Any]]:
    """The items of one of Stripe's lists."""
    return list((answer or {}).get("data") or [])


def failed(*results: Result | None) -> str:
    """Why calls did not succeed, in words; nothing when all did."""
    return "; ".join(f"{one.tool}: {one.why}" for one in results if one is not None and not one.ok)


def items(answer: Any, name: str = "items") -> list[Mapping[str, Any]]:
    """The rows of an answer of our own tools: a list, or a list under a name."""
    found = answer.get(name) if isinstance(answer, Mapping) else answer
    return [one for one in found or [] if isinstance(one, Mapping)]


def place(item: Mapping[str, Any]) -> str:
    """Where a remembered item comes from, in words."""
    source = item.get("source")
    if not isinstance(source, Mapping):
        return str(source or "memory")
    if document := source.get("document"):
        return f"{source.get('title') or document}, {source.get('place') or 'whole'}"
    return f"what {source.get('agent') or 'we'} noted {str(source.get('at') or '')[:10]}".strip()
