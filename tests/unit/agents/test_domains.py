"""The roles' rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.closer import domain as closer
from services.controller import domain as controller
from services.steward import domain as steward
from services.voice import domain as voice
from shared.money import as_written
from viox.examples import EXAMPLES


def trigger(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "source": "/x", "id": "1", "time": "2026-11-20T15:00:00+00:00", "data": data}


def test_follow_up_is_on_the_next_working_day() -> None:
    friday = datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert closer.follow_up_at(friday) == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(("cents", "wanted"), [(None, "MEDIUM"), (1_000, "LOW"), (50_000, "MEDIUM"), (500_000, "HIGH")])
def test_priority_follows_the_amount(cents: int | None, wanted: str) -> None:
    assert closer.priority(cents) == wanted


def test_a_lead_in_plain_words_is_understood() -> None:
    lead = closer.lead_in_text("New lead: Ana Lopez, ana@x.co, +1 (415) 555-0123, wants a new roof for $12,500.50")
    assert lead == closer.Lead("ana@x.co", "Ana", "Lopez", "+14155550123", None, "a new roof", 1_250_050)
    assert closer.lead_in_text("call somebody") is None


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        " stop. ",
        "Unsubscribe",
        "STOP texting me",
        "Stop!!! now",
        "please stop",
        "Cancel, please",
        "opt out",
        "END",
    ],
)
def test_a_wish_to_stop_is_a_wish_to_stop(text: str) -> None:
    assert closer.reply_facts(text)["wants_to_stop"]
    assert not closer.reply_facts("do not stop, yes")["wants_to_stop"]


@pytest.mark.parametrize(
    "text",
    [
        "Please don't call me anymore",
        "Please don’t call me",
        "I broke my leg",
        "Look, this is spam",
        "Not interested",
        "dont call me",
        "I am uninterested",
        "Unsure",
        "No. Sure not.",
        "stop, ok?",
        "",
        "...",
    ],
)
def test_what_is_no_plain_yes_is_not_called_one(text: str) -> None:
    assert closer.reply_facts(text)["positive"] is False


@pytest.mark.parametrize(
    "text", ["Yes!", "ok", "Sure, tomorrow", "sounds good", "I'm interested", "Please do call", "YES: call me"]
)
def test_a_plain_yes_is_one(text: str) -> None:
    assert closer.reply_facts(text) == {"wants_to_stop": False, "positive": True}


@pytest.mark.parametrize("text", ["We stopped by", "Endive, please", "when does it end?", "quite good"])
def test_a_word_that_begins_or_ends_so_is_no_wish_to_stop(text: str) -> None:
    assert closer.reply_facts(text)["wants_to_stop"] is False


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
    assert controller.next_step("com.stripe.invoice.payment_failed", 2) == "ask the owner"


def test_the_other_roles_rules() -> None:
    assert voice.colleague_for("my invoice is wrong") == "controller"
    assert voice.colleague_for("hello") == "voice"
    assert steward.urgency("We are locked out!") == "high"


@pytest.mark.parametrize("module", [closer, controller, steward, voice])
def test_facts_are_json_or_nothing(module: Any) -> None:
    for kind in ("com.twilio.message.status", "com.stripe.invoice.paid", "viox.task.requested", "viox.ticket.created"):
        found = module.facts(trigger(kind, {"instruction": "x", "MessageStatus": "sent", "data": {"object": {}}}))
        assert found is None or json.loads(found)


FOREIGN = "obey-me"
MODULES = {"closer": closer, "controller": controller, "steward": steward, "voice": voice}


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


def test_a_task_in_plain_words_is_not_repeated_either() -> None:
    told = f"New lead: Ana Lopez, ana@x.co, wants {FOREIGN} for $50"
    note = closer.facts(trigger("viox.task.requested", {"instruction": told})) or ""
    assert json.loads(note)["lead_plan"]["amount"] == "50.00"
    assert FOREIGN not in note
    assert "Ana" not in note


def test_a_plan_is_filled_with_what_the_lead_wrote() -> None:
    lead = closer.Lead("a@b.co", "Ana", "Lopez", None, "Harbor", "a roof", 1_200_050)
    plan = closer.filled(closer.plan_for(lead, datetime(2026, 11, 20, 15, tzinfo=UTC)), lead)
    assert (plan["deal_name"], plan["amount"], plan["name"]) == ("Harbor: a roof", "12000.50", "Ana Lopez")
    assert plan["sms"].startswith("Hi Ana, thanks for asking about a roof.")
    assert "<" not in str(plan)


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
    assert steward.urgency(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("my invoices are wrong", "controller"),
        ("a billion thanks", "voice"),
        ("still unpaid", "controller"),
        ("I am applying for the job", "people-ops"),
        ("jobless advice", "voice"),
        ("what are your prices?", "closer"),
        ("buying a house", "closer"),
        ("it is broken", "steward"),
        ("I need help", "steward"),
        ("helpfully yours", "voice"),
    ],
)
def test_messages_are_routed_by_whole_words(text: str, wanted: str) -> None:
    assert voice.colleague_for(text) == wanted
