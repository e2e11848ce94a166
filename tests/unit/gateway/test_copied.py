"""Addresses copied out of a stranger's text, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from services.tool_gateway.policy.copied import addresses_in, any_in

OUTSIDE = {
    "note": "Pay to DE89 3704 0044 0532 0130 00 or call (415) 555-0199, see HTTPS://Evil.example/pay, ask Eve@Evil.example"
}


@pytest.mark.parametrize(
    "arguments",
    [
        {"iban": "DE89370400440532013000"},
        {"text": "please transfer to de89 3704 0044 0532 0130 00 today"},
        {"To": "+14155550199"},
        {"To": "+1 (415) 555-0199"},
        {"text": "reach us at 415-555-0199"},
        {"nested": [{"url": "https://evil.example/pay/"}]},
        {"to": ["eve@evil.example"]},
    ],
)
def test_what_stands_in_it_is_found(arguments: dict[str, Any]) -> None:
    assert any_in(addresses_in(arguments, ()), [OUTSIDE])
    assert any_in(addresses_in(arguments, ()), ["nothing", {"deep": [OUTSIDE]}])


@pytest.mark.parametrize(
    "arguments",
    [
        {"To": "+14155550123"},
        {"text": "Pay by 2026-12-01 10:00, number 5"},
        {"text": "Pay to me, evil example"},
        {"amount": 4155550199},
        {},
    ],
)
def test_what_does_not_stand_in_it_is_not(arguments: dict[str, Any]) -> None:
    assert not any_in(addresses_in(arguments, ()), [OUTSIDE, {"due": "2026-12-01"}])


def test_counterparties_are_addresses_of_any_kind() -> None:
    assert any_in(addresses_in({}, ["acct_123456"]), ["send it to acct_123456 instead"])
    assert not any_in(addresses_in({}, ["acct_123456"]), ["send it to acct_999999 instead"])


def test_more_text_than_can_be_compared_may_have_it() -> None:
    assert any_in(addresses_in({"to": "ana@b.co"}, ()), ["x" * 3_000_000])
    assert not any_in((), ["x" * 3_000_000])
