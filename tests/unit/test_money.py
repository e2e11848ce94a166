"""Amounts as people write them and as vendors take them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.money import amount_in, as_plain, as_written, major


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("for $12,500.50, please", 1_250_050),
        ("1.200,50 EUR", 120_050),
        ("about €3k", 300_000),
        ("$1.5k or so", 150_000),
        ("2 million dollars", 200_000_000),
        ("$12,000.", 1_200_000),
        ("USD 500", 50_000),
        ("CHF? no: $1'234.50", 123_450),
        ("120 €", 12_000),
        ("$5,5", 550),
        ("$1.500", 150_000),
        ("$3 kg of nails", 300),
        ("call 555-0123", None),
        ("no amount", None),
    ],
)
def test_an_amount_is_found_in_a_text(text: str, cents: int | None) -> None:
    assert amount_in(text) == cents


def test_amounts_are_exact() -> None:
    assert as_plain(1_200_001) == "12000.01"
    assert as_plain(5) == "0.05"
    assert as_plain(1_250, "jpy") == "1250"
    assert as_written(-50, "eur") == "-0.50 EUR"
    assert str(major(Decimal(2_469) / 2)) == "12.35", "half a cent is rounded up"
    assert as_plain(99_999_999_999_999_999) == "999999999999999.99", "no floating point is in between"
