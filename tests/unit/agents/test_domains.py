"""The roles' rules."""

from __future__ import annotations

import pytest

from services.steward import domain as steward
from shared.money import as_written

WHOLE = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        *((5_000, code, f"5,000 {code}") for code in WHOLE.split()),
        (500, "ugx", "5.00 UGX"),
        (500, "isk", "5.00 ISK"),
        (5_120, "kwd", "5.120 KWD"),
        (-50, "eur", "-0.50 EUR"),
    ],
)
def test_money_is_written_as_stripe_counts_it(amount: int, currency: str, written: str) -> None:
    assert as_written(amount, currency) == written


def test_money_is_written_in_its_own_units() -> None:
    assert as_written(125_050, "usd") == "1,250.50 USD"
    assert as_written(1_250, "jpy") == "1,250 JPY"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the download is slow", "normal"),
        ("a down payment", "normal"),
        ("the site is down", "high"),
        ("Down again!", "high"),
        ("purgently", "normal"),
        ("urgently needed", "high"),
        ("double   charged", "high"),
        ("I am disappointed", "raised"),
        ("a worsted coat", "normal"),
    ],
)
def test_urgency_is_in_whole_words(text: str, wanted: str) -> None:
    assert steward.urgency_by_words(text) == wanted
