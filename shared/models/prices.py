"""Prices of model tokens. Dated rows, because they change; what a turn cost is computed once and stored with it.

USD per million tokens = micro-dollars per token. Sources: the providers' price pages as of November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.models.port import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """One model's row. Cache reads and writes are priced apart from plain input."""

    model: str
    input: float
    output: float
    cache_read: float
    cache_write: float = 0.0
    cache_write_1h: float = 0.0


PRICES = (
    Price("claude-sonnet-4-6", 3, 15, 0.30, 3.75, 6),
    Price("claude-sonnet-5-5", 2, 10, 0.10, 2.50, 4),
    Price("claude-sonnet-5", 2, 10, 0.20, 2.50, 4),
    Price("claude-opus-5-5", 4, 20, 0.20, 5, 8),
    Price("claude-haiku-4-5", 1, 5, 0.10, 1.25, 2),
    Price("gpt-4o-mini", 0.15, 0.60, 0.075),
    Price("gpt-4o", 2.50, 10, 1.25),
    Price("gpt-5.5", 5, 30, 0.50),
    Price("gpt-6.1-sol", 2, 10, 0.10, 2.50),
    Price("gpt-6.1-terra", 1, 5, 0.05, 1.25),
    Price("gpt-6-luna", 0.10, 0.50, 0.01, 0.125),
    Price("gemini-3.8-flash", 0.75, 3.75, 0.075),
    Price("gemini-3.5-flash-lite", 0.30, 2.50, 0.03),
    Price("mistral-large-4", 0.70, 2.10, 0.07),
    Price("offline", 0, 0, 0),
)


def price_of(model: str) -> Price | None:
    """The row for a model, dated variants included (`gpt-4o-2024-11-20`). None when we have no price."""
    return next((p for p in PRICES if model == p.model or model.startswith(p.model + "-")), None)


def cost_microusd(model: str, usage: Usage) -> int | None:
    """Cost in micro-dollars, rounded up to the next whole one. None when the model's price is not known."""
    price = price_of(model)
    if price is None:
        return None
    plain = usage.input - usage.cache_read - usage.cache_write - usage.cache_write_1h
    cost = (
        plain * price.input
        + usage.cache_read * price.cache_read
        + usage.cache_write * price.cache_write
        + usage.cache_write_1h * price.cache_write_1h
        + usage.output * price.output
    )
    return -int(-cost // 1)
