"""Wishes to stop, as people write them."""

from __future__ import annotations

import pytest

from shared.bus.consent import address_key, wish, wish_in_mail


@pytest.mark.parametrize("text", ["STOP", "stop.", "Please stop texting me", "Opt out", "unsubscribe", "  Quit!"])
def test_a_message_that_begins_with_a_word_for_it_is_a_wish_to_stop(text: str) -> None:
    assert wish(text) == "stop"


@pytest.mark.parametrize("text", ["start", " START. ", "unstop"])
def test_only_a_message_that_is_nothing_else_takes_the_wish_back(text: str) -> None:
    assert wish(text) == "start"


@pytest.mark.parametrize("text", ["", "...", "do not stop", "Start on Monday please", "yes", "nonstop music"])
def test_other_messages_say_nothing_about_it(text: str) -> None:
    assert wish(text) is None


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Re: Offer", "STOP"),
        ("Re: Offer", "Please unsubscribe me from this list.\n\nAna Lopez\nExample Ltd"),
        ("unsubscribe", ""),
        ("", "Do not email me any more, thank you"),
        ("Re: x", "\nRemove me from your mailing list please!"),
        ("Re: x", "stop mailing me"),
        ("Re: x", "Hi,\nplease unsubscribe me\nAna"),
        ("Re: x", "Don't email me"),
        ("Re: x", "Bitte abmelden."),
    ],
)
def test_a_mail_that_says_nothing_but_that_is_a_wish_to_stop(subject: str, text: str) -> None:
    assert wish_in_mail(subject, text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "End of the month suits me.",
        "Cancel my appointment on Friday, please.",
        "Stop by whenever you like",
        "Please stop the machine before you come",
        "Quit worrying, I will pay",
        "",
    ],
)
def test_a_letter_that_begins_with_such_a_word_is_about_something(text: str) -> None:
    assert wish_in_mail("Re: Offer", text) is None


def test_an_address_is_the_same_however_it_is_written() -> None:
    assert address_key(" Ana.Lopez@Example.com ") == "ana.lopez@example.com" != address_key("analopez@example.com")
    assert address_key(" +1 (415) 555-0123 ") == address_key("+14155550123") == "+14155550123"
