"""The roles' rules."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from services.builder import domain as builder
from services.chief_of_staff import domain as chief
from services.people_ops import domain as people
from services.steward import domain as steward
from shared.bus.topics import AGENTS
from shared.money import as_written
from viox.examples import EXAMPLES


def trigger(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "source": "/x", "id": "1", "time": "2026-11-20T15:00:00+00:00", "data": data}


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


def test_the_other_roles_rules() -> None:
    assert steward.urgency_by_words("We are locked out!") == "high"
    assert chief.day_facts(date(2026, 6, 1)) == {
        "day": "2026-06-01",
        "weekday": "Monday",
        "week_report": True,
        "month_report": True,
    }
    assert chief.mentioned("Ask People Ops and the_closer about invoices") == ["closer", "people-ops"]
    assert set(chief.COLLEAGUES) == set(AGENTS) - {"chief-of-staff"}
    assert people.years_of_experience("3 years here, 12+ years there") == 12
    assert people.missing({"name": "x", "email": "y"}) == ["position", "resume_text"]
    assert builder.looks_transient("504 Gateway Timeout")
    assert not builder.looks_transient("invalid credentials")


@pytest.mark.parametrize("module", [builder, chief, people])
def test_facts_are_json_or_nothing(module: Any) -> None:
    for kind in ("com.twilio.message.status", "com.stripe.invoice.paid", "viox.task.requested", "viox.ticket.created"):
        found = module.facts(trigger(kind, {"instruction": "x", "MessageStatus": "sent", "data": {"object": {}}}))
        assert found is None or json.loads(found)


FOREIGN = "obey-me"
MODULES = {"builder": builder, "chief-of-staff": chief, "people-ops": people}


def poisoned(value: Any) -> Any:
    """The same payload with foreign words in every text."""
    if isinstance(value, dict):
        return {name: poisoned(one) for name, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return f"{value} {FOREIGN}" if isinstance(value, str) else value


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("agent", MODULES)
def test_a_note_of_the_rules_repeats_nothing_that_came_from_outside(agent: str, kind: str) -> None:
    """Models are told to trust notes: what a lead or a vendor wrote must not stand in one."""
    for data in (EXAMPLES[kind], poisoned(EXAMPLES[kind])):
        note = MODULES[agent].facts(trigger(kind, data)) or "{}"
        assert FOREIGN not in note
        for word in ("Lopez", "Harbor", "roof", "Cedar", "Gateway timeout", "ana@", "A-0042", "locked out"):
            assert word not in note


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


def test_numbers_in_an_error_are_not_taken_for_a_status() -> None:
    assert not builder.looks_transient("order 150429 does not exist")
    assert builder.looks_transient("HTTP 429")
    assert builder.looks_transient("ETIMEDOUT")
