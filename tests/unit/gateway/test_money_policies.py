"""Which of Controller's calls wait for people: everything that moves money, but what Stripe says has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy import files
from services.tool_gateway.policy.context import Known
from services.tool_gateway.policy.engine import Policies, Ruling

CATALOGUE = catalogue.load()
OURS = Policies(files.texts(None), CATALOGUE)
PAID = {"type": "com.stripe.invoice.paid", "ours": False}
ORDERED = {"type": "viox.task.requested", "ours": True}
FORGED = {"type": "viox.task.requested", "ours": False}
NEVER = {"count_1h": 0}


def ruled(tool: str, trigger: dict[str, Any], **arguments: Any) -> Ruling:
    known = Known(
        NEVER, frozenset({"reads_private", "reads_untrusted"}), own_party=False, trigger=trigger, copied=False
    )
    return OURS.judge("controller", tool, "call", arguments, known, datetime(2026, 11, 30, 12))


@pytest.mark.parametrize("amount", [10, 125050])
def test_what_stripe_has_collected_is_booked_without_a_person(amount: int) -> None:
    payment = {"CustomerRef": {"value": "5"}, "TotalAmt": amount}
    assert ruled("quickbooks_create_payment", PAID, **payment).people == 0
    assert ruled("quickbooks_create_payment", PAID, **payment).allowed
    assert ruled("quickbooks_create_payment", ORDERED, **payment).people >= 1, "a task is no payment"
    assert not ruled("quickbooks_create_payment", FORGED, **payment).allowed


def test_nothing_else_is_lifted_by_an_event() -> None:
    assert ruled("stripe_create_refund", PAID, charge="ch_1", amount=4500).people == 1
    assert ruled("stripe_create_refund", PAID, charge="ch_1", amount=100_001).people == 2
    assert ruled("stripe_create_refund", PAID, charge="ch_1").people == 2, "nobody knows how much"


def test_evidence_is_given_only_behind_a_person() -> None:
    evidence = {"dispute": "du_1", "evidence": {"uncategorized_text": "x"}, "submit": True}
    for trigger in ({"type": "com.stripe.charge.dispute.created", "ours": False}, ORDERED):
        ruling = ruled("stripe_update_dispute", trigger, **evidence)
        assert (ruling.allowed, ruling.people) == (True, 1)
        assert "controller.evidence" in ruling.rules


def test_a_fork_reads_for_itself_and_does_anything_else_only_behind_a_person() -> None:
    forked = {"type": "viox.run.forked", "ours": False}
    assert ruled("stripe_list_charges", forked).people == 0
    for trigger, people in ((forked, 1), (ORDERED, 0)):
        ruling = ruled("quickbooks_create_customer", trigger, DisplayName="Harbor Dental")
        assert (ruling.allowed, ruling.people, "forks.person" in ruling.rules) == (True, people, trigger is forked)
