"""What runs are about, in a few words."""

from __future__ import annotations

from typing import Any

import pytest

from shared.operations.titles import began, title

MAIL: dict[str, Any] = {"sender": "ana@example.com", "subject": "Roof", "text": "How much?", "kind": "message"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"verified": "dmarc"}, "ana@example.com wrote a mail, “Roof”: “How much?”"),
        ({"verified": ""}, "Somebody in the name of ana@example.com wrote a mail, “Roof”: “How much?”"),
        ({"kind": "undelivered", "lost": ["bo@x.co (550)"]}, "A mail of ours did not arrive: bo@x.co (550)."),
    ],
)
def test_a_mail_says_who_is_known_to_have_written_it(changed: dict[str, Any], told: str) -> None:
    assert began({"type": "viox.mail.received", "data": MAIL | changed}) == told


def test_without_content_nothing_of_a_mail_is_told() -> None:
    assert title("viox.mail.received", MAIL, content=False) == "Mail"
    assert title("viox.mail.received", MAIL) == "Mail: ana@example.com, “Roof”"


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"ticket": {"subject": "Locked account", "body": "…"}}, "Ticket: Locked account"),
        ({"lead": {"email": "ana@example.com"}}, "Lead: ana@example.com"),
        ({"refund": {}}, "Refund"),
        ({"ticket": "T1"}, "See context."),
        (None, "See context."),
        ({}, "See context."),
    ],
)
def test_what_colleagues_hand_over_is_called_by_its_subject(context: Any, told: str) -> None:
    assert title("viox.task.requested", {"instruction": "See context.", "context": context}) == told


def test_who_hands_it_over_is_named() -> None:
    body = {"type": "viox.task.requested", "source": "/viox/delegations/voice", "data": {"instruction": "See context."}}
    assert began(body) == "Voice asked: “See context.”"
