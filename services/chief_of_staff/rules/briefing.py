"""Briefings: which time they are about, what is read for them, what it adds up to, and what of it is unusual."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from services.chief_of_staff.rules.requests import title
from shared.money import as_written, places

# -- which time --------------------------------------------------------------------------------------------------

_BRIEF = re.compile(
    r"^\W*(?:please )?(?:brief me|give me (?:a|the) briefing|how was (?:today|yesterday)|what happened (?:today|yesterday))\b",
    re.I,
)
Period = Literal["day", "week"]
EARLIER: Mapping[Period, int] = {"day": 7, "week": 4}
DAYS: Mapping[Period, int] = {"day": 1, "week": 7}


@dataclass(frozen=True, slots=True)
class Span:
    """A day of the business, or the seven days that end with it; and what it is compared with."""

    day: date
    period: Period
    zone: ZoneInfo

    @property
    def first(self) -> date:
        return self.day - timedelta(days=DAYS[self.period] - 1)

    @property
    def begin(self) -> datetime:
        return self._midnight(self.first)

    @property
    def end(self) -> datetime:
        return self._midnight(self.day + timedelta(days=1))

    @property
    def compared_from(self) -> datetime:
        return self._midnight(self.first - timedelta(days=EARLIER[self.period] * DAYS[self.period]))

    @property
    def tomorrow(self) -> tuple[datetime, datetime]:
        return self.end, self._midnight(self.day + timedelta(days=2))

    def back(self, day: date) -> int:
        """How many spans before this one a day lies: 0 for a day of this one."""
        return -((day - self.first).days // DAYS[self.period])

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    @property
    def title(self) -> str:
        if self.period == "week":
            return f"Week of {self.first.day} {self.first:%B} to {self.day.day} {self.day:%B %Y}"
        return f"{self.day:%A}, {self.day.day} {self.day:%B %Y}"


def span_of(day: str, period: str, zone: str) -> Span | None:
    """None when the day is none."""
    try:
        return Span(date.fromisoformat(day), "week" if period == "week" else "day", ZoneInfo(zone))
    except ValueError:
        return None


def span_of_request(text: str, now: datetime, zone: str) -> Span:
    today = now.astimezone(ZoneInfo(zone)).date()
    return Span(today - timedelta(days="yesterday" in text.lower()), "day", ZoneInfo(zone))


def asks_for_briefing(text: str) -> bool:
    return bool(_BRIEF.match(text))


def day_of_report(context: Mapping[str, Any]) -> str | None:
    """The day that a colleague wants a report of; None when it wants none, or says no day that there is."""
    wanted = context.get("report")
    day = str(wanted.get("day")) if isinstance(wanted, Mapping) else ""
    return day if span_of(day, "day", "UTC") else None


# -- what is asked of our own records ----------------------------------------------------------------------------

RUNS = """select agent, status, count(*) as runs from runs
where started_at >= $1::text::timestamptz and started_at < $2::text::timestamptz group by 1, 2 order by 1, 2"""
FAILED = """select agent, trigger_type, left(coalesce(text, ''), 200) as text from runs
where status in ('failed', 'blocked') and started_at >= $1::text::timestamptz and started_at < $2::text::timestamptz
order by started_at desc limit 10"""
OPEN_CALLS = """select agent, tool, state, created_at from calls
where state in ('unknown', 'awaiting_approval') order by created_at limit 200"""
USUAL = """select (started_at at time zone $3::text)::date as day, count(*) as failed from runs
where status in ('failed', 'blocked') and started_at >= $1::text::timestamptz and started_at < $2::text::timestamptz
group by 1"""
HISTORY = "select min(started_at) as first from runs"
VIEWS = "select table_name from information_schema.views where table_schema = 'business'"
TIMERS = """select agent, name, due_at from timers
where state = 'set' and due_at >= $1::text::timestamptz and due_at < $2::text::timestamptz order by due_at limit 50"""


def questions(span: Span) -> dict[str, dict[str, Any]]:
    """Name → what records_query is asked."""
    now = [span.begin.isoformat(), span.end.isoformat()]
    return {
        "runs": {"sql": RUNS, "parameters": now},
        "failed": {"sql": FAILED, "parameters": now},
        "open calls": {"sql": OPEN_CALLS, "limit": 200},
        "usual": {"sql": USUAL, "parameters": [span.compared_from.isoformat(), now[0], span.zone.key], "limit": 100},
        "history": {"sql": HISTORY},
        "views": {"sql": VIEWS},
    }


def timers_of(span: Span) -> dict[str, Any]:
    return {"sql": TIMERS, "parameters": [moment.isoformat() for moment in span.tomorrow]}


def movements_of(span: Span, after: str | None) -> dict[str, Any]:
    """What Stripe is asked: one page of what moved the balance, in the span and in what it is compared with."""
    created = {"gte": int(span.compared_from.timestamp()), "lt": int(span.end.timestamp())}
    return {"created": created, "limit": 100, "starting_after": after}


def overdue_query(span: Span) -> dict[str, Any]:
    late = f"Balance > '0' and DueDate < '{span.day}'"
    return {"query": f"select * from Invoice where {late} maxresults 200"}  # noqa: S608  # the day is a date


def rows(value: Any) -> list[list[Any]]:
    """Rows of an answer of records_query; none when it has no rows."""
    found = value.get("rows") if isinstance(value, Mapping) else None
    return [row for row in found if isinstance(row, list)] if isinstance(found, list) else []


# -- sums --------------------------------------------------------------------------------------------------------

TO_BANK = frozenset(
    {"payout", "payout_cancel", "payout_failure"}
)  # the business's own money on its way to its own bank
FEW_SPANS = 3  # less history than this is no usual
MANY_FAILED = 3
UNUSUAL = 2  # so many times as many failures as usual


class Money(BaseModel):
    """What moved in one currency, in its minor units. `usual_out` is the mean of what went out in earlier spans."""

    currency: str
    came: int = 0
    went: int = 0
    fees: int = 0
    to_bank: int = 0
    usual_out: int | None = None

    def told(self) -> str:
        parts = [f"in {as_written(self.came, self.currency)}", f"out {as_written(self.went, self.currency)}"]
        if self.fees:
            parts.append(f"fees {as_written(self.fees, self.currency)}")
        if self.to_bank:
            parts.append(f"to the bank {as_written(self.to_bank, self.currency)}")
        return ", ".join(parts)


class Waiting(BaseModel):
    """Calls that wait for a person, or whose outcome nobody knows. `hours` is the age of the oldest."""

    calls: int = 0
    hours: int = 0
    oldest: str = ""


class Facts(BaseModel):
    """All numbers of a briefing. `unread` is what could not be read."""

    title: str
    done: int = 0
    waiting: int = 0
    running: int = 0
    failed: dict[str, int] = Field(default_factory=dict)
    approvals: Waiting = Field(default_factory=Waiting)
    unknown: Waiting = Field(default_factory=Waiting)
    money: list[Money] = Field(default_factory=list)
    overdue: list[str] = Field(default_factory=list)
    unusual: list[str] = Field(default_factory=list)
    tomorrow: list[str] = Field(default_factory=list)
    unread: list[str] = Field(default_factory=list)


@dataclass
class Read:
    """Answers to what was asked for a briefing. None: not asked, or not answered."""

    runs: Any = None
    open_calls: Any = None
    usual: Any = None
    history: Any = None
    timers: Any = None
    movements: list[Mapping[str, Any]] | None = None
    overdue: Any = None
    unread: list[str] = field(default_factory=list)


def facts_of(read: Read, span: Span, now: datetime) -> Facts:
    """The numbers, added up; and what of them is unusual."""
    facts = Facts(title=span.title, unread=read.unread)
    for agent, status, count in rows(read.runs):
        _count(facts, agent, status, count)
    facts.approvals = _waiting(rows(read.open_calls), "awaiting_approval", now)
    facts.unknown = _waiting(rows(read.open_calls), "unknown", now)
    facts.money = money_of(read.movements or [], span, _spans_before(read.history, span))
    facts.overdue = overdue_of(read.overdue)
    facts.tomorrow = [_timer(row, span.zone) for row in rows(read.timers)]
    facts.unusual = _unusual(facts, span, rows(read.usual), _spans_before(read.history, span))
    return facts


def _count(facts: Facts, agent: str, status: str, count: int) -> None:
    match status:
        case "finished":
            facts.done += count
        case "waiting":
            facts.waiting += count
        case "running":
            facts.running += count
        case "failed" | "blocked":
            facts.failed[agent] = facts.failed.get(agent, 0) + count


def _waiting(calls: Sequence[list[Any]], state: str, now: datetime) -> Waiting:
    mine = [row for row in calls if row[2] == state]
    if not mine:
        return Waiting()
    agent, tool, _, since = mine[0]
    age = now - datetime.fromisoformat(since)
    return Waiting(calls=len(mine), hours=max(int(age.total_seconds() // 3600), 0), oldest=f"{title(agent)}: {tool}")


def _spans_before(history: Any, span: Span) -> int:
    """How many whole spans before this one the records know of, of those that are compared with."""
    found = rows(history)
    if not found or not found[0][0]:
        return 0
    first = datetime.fromisoformat(found[0][0]).astimezone(span.zone).date()
    return max(min((span.first - first).days // DAYS[span.period], EARLIER[span.period]), 0)


def money_of(movements: Iterable[Mapping[str, Any]], span: Span, spans: int) -> list[Money]:
    """What moved the balance, by currency: of the span, and what went out in the mean of the `spans` before it."""
    found: dict[str, Money] = {}
    before: Counter[str] = Counter()
    for one in movements:
        code, amount = str(one.get("currency", "")), int(one.get("amount") or 0)
        money = found.setdefault(code, Money(currency=code))
        back = span.back(datetime.fromtimestamp(int(one.get("created") or 0), span.zone).date())
        if one.get("type") in TO_BANK:
            money.to_bank -= amount if back == 0 else 0
        elif back == 0:
            money.came += max(amount, 0)
            money.went += max(-amount, 0)
            money.fees += int(one.get("fee") or 0)
        elif 0 < back <= spans:
            before[code] += max(-amount, 0)
    for code, money in found.items():
        money.usual_out = before[code] // spans if spans >= FEW_SPANS else None
    return [money for code, money in sorted(found.items()) if money.came or money.went or money.to_bank]


def overdue_of(answer: Any) -> list[str]:
    """Invoices of QuickBooks that are overdue: how many and how much, by currency."""
    response = answer.get("QueryResponse") if isinstance(answer, Mapping) else None
    invoices = response.get("Invoice") if isinstance(response, Mapping) else None
    sums: dict[str, list[int]] = {}
    for one in invoices if isinstance(invoices, list) else ():
        code = str((one.get("CurrencyRef") or {}).get("value") or "").lower()
        sums.setdefault(code, []).append(_minor(one.get("Balance"), code))
    return [_owed(code, amounts) for code, amounts in sorted(sums.items())]


def _owed(code: str, amounts: Sequence[int]) -> str:
    written = as_written(sum(amounts), code or "usd").removesuffix("" if code else " USD")
    return f"{len(amounts)} invoice{'s' * (len(amounts) != 1)}, {written}"


def _minor(balance: Any, code: str) -> int:
    try:
        return int(Decimal(str(balance)).scaleb(places(code)))
    except InvalidOperation:
        return 0


def _timer(row: Sequence[Any], zone: ZoneInfo) -> str:
    agent, name, due = row
    return f"{datetime.fromisoformat(due).astimezone(zone):%H:%M} {title(agent)}: {name}"


def _unusual(facts: Facts, span: Span, failed_before: Sequence[list[Any]], spans: int) -> list[str]:
    """Failures well above the usual, and money out above it. Without enough history nothing is called unusual."""
    if spans < FEW_SPANS:
        return []
    told, failed = [], sum(facts.failed.values())
    before = sum(count for day, count in failed_before if 0 < span.back(date.fromisoformat(day)) <= spans)
    if failed >= MANY_FAILED and failed * spans > UNUSUAL * before:
        told.append(f"{failed} runs failed, {before / spans:.1f} are usual")
    for money in facts.money:
        if money.usual_out is not None and money.went > money.usual_out:
            usual = as_written(money.usual_out, money.currency)
            told.append(f"{as_written(money.went, money.currency)} went out, {usual} is usual")
    return told


# -- words -------------------------------------------------------------------------------------------------------

LONGEST_SHORT = 600


def headline(facts: Facts) -> str:
    """What happened, in one sentence of numbers."""
    return f"{facts.title}: {_work(facts)}."


def body(facts: Facts) -> str:
    """The whole briefing, line by line."""
    lines = [f"Work: {_work(facts)}."]
    for name, one in (("Waiting for a person", facts.approvals), ("Outcome unknown", facts.unknown)):
        if one.calls:
            lines.append(
                f"{name}: {one.calls} call{'s' * (one.calls != 1)}, the oldest for {one.hours} h ({one.oldest})."
            )
    lines += [f"Money: {money.told()}." for money in facts.money]
    lines += [f"Overdue: {one}." for one in facts.overdue]
    lines += [f"Unusual: {one}." for one in facts.unusual]
    lines += ["Tomorrow:"] * bool(facts.tomorrow) + [f"  {one}" for one in facts.tomorrow]
    lines += [f"Not known, because it could not be read: {', '.join(facts.unread)}."] * bool(facts.unread)
    return "\n".join(lines)


def short(facts: Facts) -> str:
    """The briefing as a text message."""
    text = f"{facts.title}. {body(facts)}".replace("\n", " ")
    return text if len(text) <= LONGEST_SHORT else text[: LONGEST_SHORT - 1] + "…"


def _work(facts: Facts) -> str:
    failed = sum(facts.failed.values())
    by = ", ".join(f"{title(agent)} {count}" for agent, count in sorted(facts.failed.items()))
    open_runs = f", {facts.running} running" if facts.running else ""
    return f"{facts.done} done, {facts.waiting} waiting{open_runs}, {failed} failed" + (f" ({by})" if by else "")
