"""What Stripe keeps: objects with ids, their events, and the ways to read them: lists, search, expansion."""

from __future__ import annotations

import copy
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.vendors.stripe_request import Given, Invalid, Refused, merged

Row = dict[str, Any]
VERSION = "2026-10-28.endive"
ADDRESS = "city country line1 line2 postal_code state"
# collection → (what an id begins with, the object's name)
KINDS = {
    "customers": ("cus", "customer"),
    "products": ("prod", "product"),
    "prices": ("price", "price"),
    "payment_links": ("plink", "payment_link"),
    "checkout/sessions": ("cs_test", "checkout.session"),
    "invoices": ("in", "invoice"),
    "invoiceitems": ("ii", "invoiceitem"),
    "invoice_payments": ("inpay", "invoice_payment"),
    "subscriptions": ("sub", "subscription"),
    "payment_intents": ("pi", "payment_intent"),
    "charges": ("ch", "charge"),
    "refunds": ("re", "refund"),
    "disputes": ("du", "dispute"),
    "payouts": ("po", "payout"),
    "balance_transactions": ("txn", "balance_transaction"),
    "webhook_endpoints": ("we", "webhook_endpoint"),
    "events": ("evt", "event"),
}
# object → what it does not show of what every object has
HIDDEN = {
    "event": {"metadata"},
    "balance_transaction": {"metadata", "livemode"},
    "invoice_payment": {"metadata"},
    "refund": {"livemode"},
    "payment_link": {"created"},
    "invoiceitem": {"created"},
}
# collection → the fields its search knows, beside metadata
SEARCHABLE = {
    "customers": "created email name phone",
    "products": "active description name shippable url",
    "prices": "active currency lookup_key product type",
    "subscriptions": "canceled_at created status",
    "invoices": "created currency customer number receipt_number status subscription total",
    "charges": "amount created currency customer status",
    "payment_intents": "amount created currency customer status",
}
CLAUSE = re.compile(r"""\s*(-?)([a-z_]+)(?:\[['"]([^'"]+)['"]\])?\s*(:|~|>=|<=|>|<)\s*("[^"]*"|'[^']*'|[\w.-]+)\s*""")


def _become(row: Row, other: Row) -> None:
    row.clear()
    row.update(other)


class Book:
    """All objects of one account, and `on_event` for whoever delivers what happens to them."""

    def __init__(self, on_event: Callable[[Row], None], index_delay: float, seconds: Callable[[], float]) -> None:
        self.clear()
        self.extras: dict[tuple[str, str], Callable[[Row], Any]] = {}
        """(object, field) → what the field holds when a caller asks for it."""
        self.request: dict[str, str | None] = {"id": None, "idempotency_key": None}
        self.index_delay, self._seconds = index_delay, seconds
        self._on_event = on_event

    def clear(self) -> None:
        self.rows: dict[str, dict[str, Row]] = {kind: {} for kind in KINDS}
        self.gone: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.changes = 0
        self._undo: list[Callable[[], Any]] = []
        self._happened: list[Row] = []

    # -- all or nothing ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.changes = 0
        self._undo.clear()
        self._happened.clear()

    def commit(self) -> None:
        """What happened since `begin` stays; its events go out."""
        for event in self._happened:
            self.rows["events"][event["id"]] = event
            self._on_event(event)
        self.begin()

    def roll_back(self) -> None:
        """Nothing happened since `begin`."""
        for step in reversed(self._undo):
            step()
        self.begin()

    # -- writing -----------------------------------------------------------------------------------------------------

    def new(self, kind: str, fields: Row, metadata: Any = None) -> Row:
        prefix, name = KINDS[kind]
        row: Row = {"id": new_id(prefix), "object": name, "created": now(), "livemode": False} | fields
        row["metadata"] = merged({}, metadata or {})
        row["_at"] = self._seconds()
        self.rows[kind][row["id"]] = row
        self._undo.append(lambda: self.rows[kind].pop(row["id"]))
        self.changes += 1
        return row

    def change(self, row: Row, fields: Row) -> Row:
        """Set fields; returns the values they had where they differ."""
        before = {k: copy.deepcopy(row.get(k)) for k, v in fields.items() if row.get(k) != v}
        if before:
            old = dict(row)
            row |= fields
            self._undo.append(lambda: _become(row, old))
            self.changes += 1
        return {k: v for k, v in before.items() if not k.startswith("_")}

    def update(self, row: Row, given: Given, event: str | None) -> Row:
        """The usual update call: the given fields, and metadata by key."""
        fields = {k: v for k, v in given.items() if k not in ("expand", "metadata")}
        if "metadata" in given:
            fields["metadata"] = merged(row["metadata"], given["metadata"])
        before = self.change(row, fields)
        if before and event:
            self.announce(event, row, before)
        return shown(row)

    def _bring_back(self, kind: str, row: Row) -> None:
        self.gone[kind].discard(row["id"])
        self.rows[kind][row["id"]] = row

    def remove(self, kind: str, row: Row) -> Row:
        del self.rows[kind][row["id"]]
        self.gone[kind].add(row["id"])
        self._undo.append(lambda: self._bring_back(kind, row))
        self.changes += 1
        return {"id": row["id"], "object": row["object"], "deleted": True}

    def announce(self, event: str, row: Row, before: Row | None = None) -> None:
        """Something happened: keep the event and have it delivered."""
        data: Row = {"object": shown(row)} | ({"previous_attributes": before} if before else {})
        made: Row = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": VERSION,
            "created": now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": dict(self.request),
            "type": event,
            "_at": self._seconds(),
        }
        self._happened.append(made)

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, kind: str, key: str) -> Row:
        """The object a path names."""
        found = self.rows[kind].get(key)
        if found is None:
            raise Refused(
                f"No such {KINDS[kind][1].replace('.', ' ')}: '{key}'", status=404, code="resource_missing", param="id"
            )
        return found

    def named(self, kind: str, key: Any, param: str) -> Row:
        """The object a parameter names."""
        found = self.rows[kind].get(key)
        if found is None:
            raise Refused(f"No such {KINDS[kind][1]}: '{key}'", code="resource_missing", param=param)
        return found

    def all(self, kind: str, **wanted: Any) -> list[Row]:
        """The newest first."""
        return [r for r in reversed(self.rows[kind].values()) if all(r.get(k) == v for k, v in wanted.items())]

    def page(self, kind: str, given: Given, wants: Callable[[Row], bool] = lambda row: True) -> Row:
        """The list call: filters that are fields by their name, `created` as a time or a range, paging by id."""
        filters = {k: v for k, v in given.items() if k not in ("limit", "starting_after", "ending_before", "expand")}
        rows = [r for r in self.all(kind) if wants(r) and all(_fits(r, k, v) for k, v in filters.items())]
        limit = _limit(given)
        after, before = given.get("starting_after"), given.get("ending_before")
        if after and before:
            raise Invalid(
                "starting_after and ending_before exclude each other", "starting_after", "parameters_exclusive"
            )
        if after:
            rows = rows[_place(rows, kind, after, "starting_after") + 1 :]
        if before:
            rows = rows[: _place(rows, kind, before, "ending_before")]
            part = rows[-limit:]
        else:
            part = rows[:limit]
        return {"object": "list", "data": [shown(r) for r in part], "has_more": len(rows) > limit, "url": f"/v1/{kind}"}

    def search(self, kind: str, given: Given) -> Row:
        """Search sees only what the index has: objects older than its delay."""
        wants = _query(given["query"], SEARCHABLE[kind].split())
        ripe = self._seconds() - self.index_delay
        rows = [r for r in self.all(kind) if r["_at"] <= ripe and wants(r)]
        page = given.get("page") or "0"
        if not page.isdigit():
            raise Invalid(f"Invalid page: {page}", "page")
        start, limit = int(page), _limit(given)
        more = len(rows) > start + limit
        return {
            "object": "search_result",
            "data": [shown(r) for r in rows[start : start + limit]],
            "has_more": more,
            "next_page": str(start + limit) if more else None,
            "url": f"/v1/{kind}/search",
        }

    def expand(self, answer: Row, paths: list[str]) -> Row:
        """An answer with the named fields as whole objects instead of ids."""
        for number, path in enumerate(paths):
            steps = path.split(".") if isinstance(path, str) else []
            if not 1 <= len(steps) <= 4 or not self._expand(answer, steps):
                raise Invalid(f"This property cannot be expanded ({path}).", f"expand[{number}]")
        return answer

    def _expand(self, place: Any, steps: list[str]) -> bool:
        if place is None:
            return True
        if isinstance(place, list):
            return all(self._expand(one, steps) for one in place)
        if not isinstance(place, dict):
            return False
        name, rest = steps[0], steps[1:]
        extra = self.extras.get((place.get("object", ""), name))
        if extra is not None:
            place[name] = extra(place)
        elif name not in place:
            return False
        elif isinstance(place[name], str):
            found = self.lookup(place[name])
            if found is None:
                return False
            place[name] = found
        return not rest or self._expand(place[name], rest)

    def lookup(self, key: str) -> Row | None:
        return next((shown(rows[key]) for rows in self.rows.values() if key in rows), None)


def shown(row: Row) -> Row:
    """A copy as callers see it."""
    hidden = HIDDEN.get(row["object"], set())
    return {k: copy.deepcopy(v) for k, v in row.items() if not k.startswith("_") and k not in hidden}


def listing(url: str, data: list[Row]) -> Row:
    """A list inside an object."""
    return {"object": "list", "data": data, "has_more": False, "total_count": len(data), "url": url}


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def now() -> int:
    return int(time.time())


def nulls(names: str) -> Row:
    return dict.fromkeys(names.split())


def _limit(given: Given) -> int:
    limit = int(given.get("limit") or 10)
    if not 1 <= limit <= 100:
        raise Invalid("limit is between 1 and 100", "limit", "parameter_invalid_integer")
    return limit


def _place(rows: list[Row], kind: str, key: str, param: str) -> int:
    for number, row in enumerate(rows):
        if row["id"] == key:
            return number
    raise Refused(f"No such {KINDS[kind][1]}: '{key}'", code="resource_missing", param=param)


def _fits(row: Row, name: str, wanted: Any) -> bool:
    has = row.get(name, row.get(f"_{name}"))
    if isinstance(wanted, dict):
        tests = (
            {
                "gt": has > wanted.get("gt", 0),
                "gte": has >= wanted.get("gte", 0),
                "lt": has < wanted.get("lt", 0),
                "lte": has <= wanted.get("lte", 0),
            }
            if has is not None
            else {}
        )
        return all(tests.get(key, False) for key in wanted)
    return bool(has == wanted)


def _query(text: str, fields: list[str]) -> Callable[[Row], bool]:
    """The search language: clauses joined by AND or by OR."""
    words = re.split(r"\s+(AND|OR)\s+", text)
    joins = set(words[1::2])
    clauses = [CLAUSE.fullmatch(word) for word in words[::2]]
    if len(joins) > 1 or None in clauses:
        raise Invalid(f"We were unable to parse your search query: {text}", "query")
    tests = [_clause(found, fields) for found in clauses if found]
    return lambda row: any(t(row) for t in tests) if "OR" in joins else all(t(row) for t in tests)


def _clause(found: re.Match[str], fields: list[str]) -> Callable[[Row], bool]:
    negated, name, key, operator, quoted = found.groups()
    value = quoted.strip("\"'")
    if name not in fields if key is None else name != "metadata":
        raise Invalid(f"Field `{name}` is unsupported for search on this resource.", "query")
    if operator not in (":", "~") and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise Invalid(f"{name} is compared with a number, not with {quoted}", "query")

    def holds(row: Row) -> bool:
        has = row.get(name, row.get(f"_{name}")) if key is None else row["metadata"].get(key)
        if quoted == "null":
            return (has is None) != bool(negated)
        text = "" if has is None else str(has).lower()
        match operator:
            case ":":
                same = text == value.lower()
            case "~":
                same = value.lower() in text
            case _:
                number = float(value)
                same = (
                    isinstance(has, int)
                    and {">": has > number, ">=": has >= number, "<": has < number, "<=": has <= number}[operator]
                )
        return same != bool(negated)

    return holds
