"""Prices of model tokens. Dated rows, because they change; what a turn cost is computed once and stored with it.

USD per million tokens = micro-dollars per token. Sources: the providers' price pages as of November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from shared.models.port import Usage

VARIANT = re.compile(r"-(\d{4}-?\d{2}-?\d{2}|latest)")  # what may follow a model's name: the day it was made


@dataclass(frozen=True, slots=True)
class Price:
    """One model's row. Reading from the cache and writing to it have prices of their own; None where writing has none.

    `since`: the first day of this row. From `long_from` tokens of input on, everything in is `long_input` times as dear, and
    everything out `long_output` times.
    """

    model: str
    input: float
    output: float
    cache_read: float
    cache_write: float | None = None
    cache_write_1h: float | None = None
    since: date = date.min
    long_from: int | None = None
    long_input: float = 1.0
    long_output: float = 1.0

    def cost(self, usage: Usage) -> float:
        """Micro-dollars. Writing to a cache that has no price costs what plain input does."""
        is_long = self.long_from is not None and usage.input > self.long_from
        plain = usage.input - usage.cache_read - usage.cache_write - usage.cache_write_1h
        write = self.input if self.cache_write is None else self.cache_write
        write_1h = write if self.cache_write_1h is None else self.cache_write_1h
        into = plain * self.input + usage.cache_read * self.cache_read
        into += usage.cache_write * write + usage.cache_write_1h * write_1h
        out = usage.output * self.output
        return into * (self.long_input if is_long else 1.0) + out * (self.long_output if is_long else 1.0)


PRICES = (
    Price("claude-sonnet-4-6", 3, 15, 0.30, 3.75, 6),
    Price("claude-sonnet-5-5", 2, 10, 0.10, 2.50, 4),
    Price("claude-sonnet-5", 2, 10, 0.20, 2.50, 4),
    Price("claude-opus-5-5", 4, 20, 0.20, 5, 8),
    Price("claude-haiku-4-5", 1, 5, 0.10, 1.25, 2),
    Price("claude-haiku-5-5", 0.10, 0.50, 0.01, 0.125, 0.20, long_from=100_000, long_input=5, long_output=5),
    Price("claude-fable-5-2", 8, 40, 0.20, 10, 16),
    Price("gpt-4o-mini", 0.15, 0.60, 0.075),
    Price("gpt-4o", 2.50, 10, 1.25),
    Price("gpt-5.5", 5, 30, 0.50, long_from=272_000, long_input=2, long_output=1.5),
    Price("gpt-6.1-sol", 2, 10, 0.10, 2.50),
    Price("gpt-6.1-terra", 1, 5, 0.05, 1.25),
    Price("gpt-6-luna", 0.10, 0.50, 0.01, 0.125),
    Price("gemini-3.8-flash", 0.75, 3.75, 0.075),
    Price("gemini-3.8-flash", 1.50, 7.50, 0.15, since=date(2027, 1, 1)),
    Price("gemini-3.5-flash-lite", 0.30, 2.50, 0.03),
    Price("gemini-2.5-flash", 0.30, 2.50, 0.03),
    Price("gemini-2.5-pro", 1.25, 10, 0.125, long_from=200_000, long_input=2, long_output=1.5),
    Price("gemini-4-argon", 2, 10, 0.10),
    Price("gemini-4-argon", 4, 20, 0.20, since=date(2026, 12, 1)),
    Price("mistral-large-4", 0.70, 2.10, 0.07),
    Price("offline", 0, 0, 0),
)


def price_of(model: str, day: date | None = None) -> Price | None:
    """The row for a model on a day, its dated variants included (`gpt-4o-2024-11-20`). None when we have no price."""
    day = day or datetime.now(UTC).date()
    rows = [p for p in PRICES if p.since <= day and _is(p.model, model)]
    return max(rows, key=lambda p: p.since) if rows else None


def cost_microusd(model: str, usage: Usage, day: date | None = None) -> int | None:
    """Cost in micro-dollars, rounded up to the next whole one. None when the model's price is not known."""
    price = price_of(model, day)
    return None if price is None else -int(-price.cost(usage) // 1)


def _is(priced: str, model: str) -> bool:
    return model == priced or (model.startswith(priced) and VARIANT.fullmatch(model, len(priced)) is not None)
