"""Amounts of money: read from what people write, written as people and vendors read them. Inside they are minor units.

Nothing here is a decision of a role: a domain may use it as it uses `datetime`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

# Stripe's currencies whose amounts are whole units, and those whose amounts are thousandths. UGX and ISK have no minor units
# either, but Stripe goes on counting them in hundredths: an amount of 500 is 5 UGX.
ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])

_SIGN, _NAME = r"[$€£]", r"USD|EUR|GBP|dollars?|euros?|pounds?"
_NUMBER, _UNIT = r"\d[\d.,'’]*", r"\s?(?:k|m|thousand|million)\b"
_BEFORE = re.compile(rf"(?:{_SIGN}|\b(?:{_NAME})\b)\s?({_NUMBER})({_UNIT})?", re.IGNORECASE)
_AFTER = re.compile(rf"\b({_NUMBER})({_UNIT})?\s?(?:{_SIGN}|(?:{_NAME})\b)", re.IGNORECASE)
_CURRENCIES = {
    "usd": re.compile(r"\$|\b(?:usd|dollars?)\b", re.IGNORECASE),
    "eur": re.compile(r"€|\b(?:eur|euros?)\b", re.IGNORECASE),
    "gbp": re.compile(r"£|\b(?:gbp|pounds?)\b", re.IGNORECASE),
}
_TIMES = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}


def places(currency: str) -> int:
    """Decimal places of a currency's minor units."""
    code = currency.lower()
    return 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2


def major(amount: int | Decimal, currency: str = "usd") -> Decimal:
    """Minor units as a number of whole ones, half a minor unit rounded up: (125050, "usd") → 1250.50."""
    return Decimal(amount).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-places(currency))


def as_written(amount: int, currency: str) -> str:
    """As people write them: (125050, "usd") → "1,250.50 USD"."""
    return f"{major(amount, currency):,.{places(currency)}f} {currency.upper()}"


def as_plain(amount: int, currency: str = "usd") -> str:
    """As vendors' forms take them: (1200000, "usd") → "12000.00"."""
    return f"{major(amount, currency):.{places(currency)}f}"


def amount_in(text: str) -> int | None:
    """The first amount that a text states, in hundredths: "$12,500.50", "1.200,50 EUR", "€3k". None when there is none."""
    places_found = [found for found in (_BEFORE.search(text), _AFTER.search(text)) if found]
    if not places_found:
        return None
    number, unit = min(places_found, key=lambda found: found.start()).groups()
    value = _decimal(number.rstrip(".,'’")) * _TIMES.get((unit or "").strip().lower(), 1)
    return int((value * 100).quantize(Decimal(1), ROUND_HALF_UP))


def currency_in(text: str) -> str | None:
    """The one currency that a text speaks of, as Stripe writes it: "$45" → "usd". None where it names none, or several."""
    found = [code for code, words in _CURRENCIES.items() if words.search(text)]
    return found[0] if len(found) == 1 else None


def _decimal(number: str) -> Decimal:
    """The last mark is the decimal one when one or two digits follow it; all others set thousands apart."""
    whole, _, rest = re.sub(r"[,'’]", ".", number).rpartition(".")
    if whole and len(rest) in (1, 2):
        return Decimal(f"{whole.replace('.', '')}.{rest}")
    return Decimal((whole + rest).replace(".", ""))


def as_json(amount: int, currency: str = "usd") -> int | float:
    """As JSON has it, for vendors that take whole units as a number: (125050, "usd") → 1250.5. Only for what is sent: nothing
    is ever computed with it. Its shortest form has as many places as the currency, so that nothing is lost on the way."""
    value = major(amount, currency)
    return int(value) if value == value.to_integral_value() else float(value)


def minor(value: Decimal | float | str, currency: str = "usd") -> int:
    """Whole units, as a vendor says them, in minor units: (1250.5, "usd") → 125050. Raises ValueError for a part of a minor unit."""
    scaled = Decimal(str(value)).scaleb(places(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value} is no whole number of minor units of {currency}")
    return int(scaled)
