"""What tokens cost: plain, cached, of long prompts, on a day."""

from __future__ import annotations

from datetime import date

import pytest

from shared.models.port import Usage
from shared.models.prices import cost_microusd, price_of

TODAY = date(2026, 11, 30)


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("claude-sonnet-4-6", Usage(1_000_000), 3_000_000),
        ("claude-sonnet-4-6", Usage(1_000_000, cache_read=1_000_000), 300_000),
        ("claude-sonnet-4-6", Usage(1_000_000, cache_write=1_000_000), 3_750_000),
        ("claude-sonnet-4-6", Usage(1_000_000, cache_write_1h=1_000_000), 6_000_000),
        ("claude-sonnet-4-6", Usage(1000, 100, 600, 200, 100), (100 * 3 + 180 + 750 + 600 + 1500)),
        ("gpt-4o", Usage(1000, cache_read=400), 600 * 2.5 + 400 * 1.25),
        ("gpt-6.1-sol", Usage(1000, cache_write=1000), 2500),
        ("claude-haiku-5-5", Usage(100_000, 1000), 10_500),
        ("claude-haiku-5-5", Usage(100_001, 1000), 52_501),
        ("gpt-5.5", Usage(272_001, 10), 2_720_460),
        ("offline", Usage(1000, 1000), 0),
    ],
)
def test_each_kind_of_token_has_its_price(model: str, usage: Usage, cost: float) -> None:
    assert cost_microusd(model, usage, TODAY) == cost


def test_writing_to_a_cache_is_never_free() -> None:
    """A provider that has no price for it charges plain input."""
    assert cost_microusd("gpt-4o", Usage(1000, cache_write=1000), TODAY) == 2500


@pytest.mark.parametrize(
    ("model", "priced"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("gpt-5.5-pro", None),
        ("gpt-4o-audio-preview", None),
        ("my-own-model", None),
    ],
)
def test_a_dated_variant_has_its_models_price_and_another_model_has_none(model: str, priced: str | None) -> None:
    found = price_of(model, TODAY)
    assert (found.model if found else None) == priced


def test_a_price_is_that_of_the_day() -> None:
    usage = Usage(1_000_000)
    days = (date(2026, 12, 31), date(2027, 1, 1))
    assert [cost_microusd("gemini-3.8-flash", usage, day) for day in days] == [750_000, 1_500_000]
