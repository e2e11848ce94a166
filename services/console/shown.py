"""How times, spans, money, ids, states and payloads are written on pages."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from shared.models.models_file import OFFLINE
from shared.money import as_written
from shared.operations import words
from shared.operations.sentences import agent_name, vendor_name
from shared.operations.story import TONES

FOLDED_BYTES = 4_000  # longer payloads open folded
SHOWN_BYTES = 200_000  # more of one is for downloading
_RUN_TONES = {
    "running": "running",
    "waiting": "waits",
    "finished": "done",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "quiet",
}
_APPROVAL_TONES = {
    "waiting": "waits",
    "approved": "done",
    "answered": "done",
    "rejected": "failed",
    "expired": "failed",
}


class Clock:
    """Times in the zone of the business, and how long ago they are."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.now = datetime.now(UTC)

    def local(self, at: datetime | str | None) -> datetime | None:
        moment = _moment(at)
        return moment.astimezone(self.zone) if moment else None

    def time(self, at: datetime | str | None) -> str:
        """23:02:11"""
        local = self.local(at)
        return f"{local:%H:%M:%S}" if local else ""

    def whole(self, at: datetime | str | None) -> str:
        """Mon 30 Nov 2026, 08:30:15 CET"""
        local = self.local(at)
        return f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S %Z}" if local else ""

    def date(self) -> str:
        local = self.now.astimezone(self.zone)
        return f"{local:%A} {local.day} {local:%B}, {local:%H:%M}"

    def greeting(self) -> str:
        hour = self.now.astimezone(self.zone).hour
        return "Good morning" if hour < 12 else "Good afternoon" if hour < 18 else "Good evening"

    def ago(self, at: datetime | str | None) -> Markup:
        """A time element: relative words, the absolute time on hover."""
        moment = _moment(at)
        if moment is None:
            return Markup("")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            moment.isoformat(), self.whole(moment), relative(moment - self.now)
        )

    def since(self, at: datetime | str | None, until: datetime | str | None = None) -> str:
        """How long something has taken."""
        begun, ended = _moment(at), _moment(until) or self.now
        return span((ended - begun).total_seconds() * 1000) if begun else ""


def _moment(at: datetime | str | None) -> datetime | None:
    if at is None or isinstance(at, datetime):
        return at
    return datetime.fromisoformat(at.replace("Z", "+00:00"))


def relative(delta: timedelta) -> str:
    """`3 min ago`, `in 2 h`."""
    seconds = delta.total_seconds()
    told = span(abs(seconds) * 1000, rough=True)
    if abs(seconds) < 2:
        return "now"
    return f"in {told}" if seconds > 0 else f"{told} ago"


def span(milliseconds: float | None, *, rough: bool = False) -> str:
    """As people say it: 131 ms, 4.2 s, 3 min, 2 h 10."""
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    if seconds < 1 and not rough:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s" if rough or seconds >= 10 else f"{seconds:.1f} s"
    minutes, hours = divmod(int(seconds // 60), 60)[::-1], int(seconds // 3600)
    if hours == 0:
        return f"{minutes[0]} min"
    if hours < 24:
        return f"{hours} h" if rough or not minutes[0] else f"{hours} h {minutes[0]:02d}"
    days = hours // 24
    return "1 day" if days == 1 else f"{days} days"


def moment_span(delta: timedelta) -> str:
    """A span that Python measured."""
    return span(delta.total_seconds() * 1000)


def usd(value: float | int | None) -> str:
    """Dollars of model work: whole cents, or as many digits as say something."""
    if not value:
        return "$0.00"
    return f"${value:,.2f}" if value >= 0.1 else f"${value:.{min(6, 1 - math.floor(math.log10(abs(value))))}f}"


def money(pair: tuple[int, str]) -> str:
    return as_written(*pair)


def number(value: float | int | None) -> str:
    """412, 12,031, 1.9 M."""
    if value is None:
        return ""
    return f"{value / 1_000_000:.1f} M" if value >= 1_000_000 else f"{value:,.0f}"


def short(identity: Any) -> Markup:
    """An id, cut in the middle; whole on hover, and copied by a click."""
    text = str(identity)
    shown = text if len(text) <= 16 else f"{text[:8]}…{text[-4:]}"
    return Markup('<button type="button" class="id" data-copy="{}" title="{} (copy)">{}</button>').format(
        text, text, shown
    )


def pill(word: str, tone: str) -> Markup:
    return Markup('<span class="pill {}">{}</span>').format(tone, word)


def run_pill(run: dict[str, Any]) -> Markup:
    """A run's state as a word and its colour; finished in part is not done."""
    status, outcome = run["status"], run.get("outcome")
    if status == "finished" and outcome in ("partly", "failed"):
        return pill("partly done" if outcome == "partly" else "nothing worked", "failed")
    return pill("done" if status == "finished" else status, _RUN_TONES.get(status, "quiet"))


def call_pill(call: Any) -> Markup:
    state = words.call_state(call)
    tone = "done" if state == words.NOT_FOUND else TONES.get(call["state"], "quiet")
    return pill({"executing": "running", "requested": "to be sent"}.get(state, state), tone)


def approval_pill(approval: dict[str, Any]) -> Markup:
    return pill(words.APPROVAL_STATES[approval["state"]], _APPROVAL_TONES.get(approval["state"], "quiet"))


def pretty(value: Any) -> Markup:
    """JSON for reading: keys in colour. Everything is escaped."""
    if isinstance(value, bytes):
        return body(value)
    lines = json.dumps(value, indent=2, ensure_ascii=False, default=str).splitlines()
    return Markup("\n").join(_line(line) for line in lines)


def _line(line: str) -> Markup:
    stripped = line.lstrip()
    if stripped.startswith('"') and '": ' in stripped:
        key, _, rest = stripped.partition('": ')
        indent = line[: len(line) - len(stripped)]
        return Markup('{}<span class="key">{}"</span>: {}').format(indent, key, rest)
    return escape(line)


def marked(value: Any, names: Collection[str]) -> Markup:
    """JSON for reading, with the lines of these keys marked."""
    lines = json.dumps(value, indent=2, ensure_ascii=False, default=str).splitlines()
    starts = tuple(f'"{name}": ' for name in names)
    shown = [
        Markup('<span class="mark">{}</span>').format(_line(line)) if line.lstrip().startswith(starts) else _line(line)
        for line in lines
    ]
    return Markup("\n").join(shown)


def body(content: bytes) -> Markup:
    """The bytes of a request or answer: JSON pretty, text as text, others named by their size."""
    if not content:
        return Markup('<span class="muted">empty</span>')
    try:
        return pretty(json.loads(content))
    except ValueError:
        pass
    try:
        return escape(content.decode())
    except UnicodeDecodeError:
        return Markup('<span class="muted">{:,} bytes that are no text</span>').format(len(content))


def decoded(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def raw(content: bytes) -> Markup:
    return escape(content.decode("utf-8", "replace")) if content else Markup('<span class="muted">empty</span>')


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def counted(count: int) -> str:
    """Small numbers as words."""
    return _SMALL[count] if count < len(_SMALL) else f"{count:,}"


def measured(value: Any, measure: str) -> str:
    """What a budget counts, as people write it: 25,000.00 EUR, $100.00, 1,200 calls."""
    if measure == "model_usd":
        return usd(float(value))
    if measure.startswith("money:"):
        amount = Decimal(str(value))
        return f"{amount:,} {measure[6:].upper()}"
    return f"{int(value):,} {measure.replace('_', ' ')}"


def model(name: str | None) -> str:
    """A model, or that none is asked."""
    return "rules stand in for a model" if name == OFFLINE else name or "no model was asked yet"


def rate(per_second: float) -> str:
    """As people say it: 10 a second, 6 a minute."""
    if per_second >= 1:
        return f"{per_second:g} a second"
    return f"{per_second * 60:.3g} a minute"


def unified(diff: str | Sequence[str], most: int) -> Markup:
    """A unified diff with its lines in colour, so many of them at most."""
    lines = diff.splitlines() if isinstance(diff, str) else diff
    told = [_diff_line(line) for line in lines[:most]]
    if len(lines) > most:
        told.append(Markup("({} more lines)").format(len(lines) - most))
    return Markup("").join(told)


def _diff_line(line: str) -> Markup:
    mark = {"+": "plus", "-": "minus"}.get(line[:1])
    if mark and not line.startswith(("+++", "---")):
        return Markup('<span class="{}">{}</span>').format(mark, line)
    return Markup("{}\n").format(line)


FILTERS: dict[str, Callable[..., Any]] = {
    "span": span,
    "usd": usd,
    "money": money,
    "number": number,
    "short": short,
    "pill": pill,
    "run_pill": run_pill,
    "call_pill": call_pill,
    "approval_pill": approval_pill,
    "pretty": pretty,
    "body": body,
    "raw": raw,
    "decoded": decoded,
    "upper_first": lambda text: text[:1].upper() + text[1:],
    "plural": plural,
    "counted": counted,
    "agent": agent_name,
    "vendor": vendor_name,
    "check": words.check,
    "verdict": lambda one: words.verdict(one).strip(),
    "ruling": words.ruling,
    "effect": words.effect,
    "call_state": words.call_state,
    "waits_for": words.waits_for,
    "ledger": words.ledger,
    "rate": rate,
    "measured": measured,
    "model": model,
    "unified": unified,
    "moment": moment_span,
}
