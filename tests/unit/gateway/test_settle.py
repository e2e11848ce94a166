"""Look-ups: which of a vendor's items is the call's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.tool_gateway.call.look_up import (
    as_answered,
    goes_on,
    listed,
    lookalikes,
    matching,
    same_text,
    unexplained,
)
from services.tool_gateway.call.outcome import projected
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.tools import Absence, Settle
from tests.unit.gateway.test_catalogue import documented

INTENDED = datetime(2026, 11, 23, 12, 0, 0, 700_000, tzinfo=UTC)


def settle(**more: Any) -> Settle:
    usual: dict[str, Any] = {
        "tool": "list",
        "arguments": {},
        "items": "things",
        "match": {"name": "$.name"},
        "unique": "id",
        "lag_seconds": 1.0,
        "created": "at",
    }
    return Settle(**usual | more)


@pytest.mark.parametrize(
    ("at", "ours"),
    [
        (INTENDED.timestamp(), True),
        (int(INTENDED.timestamp()) - 3, True),  # clocks differ
        (int(INTENDED.timestamp()) - 60, False),
        ("2026-11-23T12:00:01Z", True),
        ("2026-11-23T11:59:00.000Z", False),
        ("2026-11-23T13:00:01+01:00", True),
        ("2026-11-23T11:59:00", False),  # no zone: UTC
        ("Mon, 23 Nov 2026 12:00:01 +0000", True),
        ("Mon, 23 Nov 2026 11:59:00 -0000", False),
        (0, True),  # no time at all: only what is known to be older is left out
        (None, True),
        (1e300, True),
        ("soon", True),
    ],
)
def test_items_older_than_the_call_are_not_its_own(at: Any, ours: bool) -> None:
    body = {"things": [{"id": 1, "name": "a", "at": at}, {"id": 2, "name": "b", "at": at}]}
    assert [i["id"] for i in matching(settle(), body, {"name": "a"}, INTENDED)] == ([1] if ours else [])


def test_an_item_is_shown_as_the_call_would_have_answered() -> None:
    (tool,) = documented("{tool: t, effect: read, projection: [thing.id]}")
    found = as_answered(settle(within="answer.thing"), {"id": 7, "secret": 1})
    assert found == {"answer": {"thing": {"id": 7, "secret": 1}}}
    assert projected(tool, as_answered(settle(within="thing"), {"id": 7, "secret": 1})) == {"thing": {"id": 7}}
    assert as_answered(settle(), {"id": 7}) == {"id": 7}


@pytest.mark.parametrize(
    ("newest_first", "times", "more", "open_end"),
    [
        (True, [500, 400], True, True),
        (True, [500, 50], True, False),
        (True, [], True, True),
        (True, [500], None, False),
        (False, [500, 50], True, True),
        (False, [], None, False),
    ],
)
def test_absence_is_not_read_from_a_list_that_goes_on(
    newest_first: bool, times: list[int], more: bool | None, open_end: bool
) -> None:
    """The call was at 300: a page that reaches back to before it would have shown it."""
    look = Settle("list", {}, "items", {}, "id", 1.0, created="at", more="next", newest_first=newest_first)
    body = {"items": [{"at": moment} for moment in times], "next": more}
    assert goes_on(look, body, {}, datetime.fromtimestamp(300, UTC)) is open_end


# -- what the vendor has changed meanwhile ------------------------------------------------------------------------------

TOOLS = catalogue.load().tools
TEXT = {"To": "+41791112233", "Body": "We come on Monday – don’t wait."}
SOON, BEFORE = "Mon, 23 Nov 2026 12:00:02 +0000", "Mon, 23 Nov 2026 11:00:00 +0000"


def texts(*bodies: str, at: str = SOON, to: str = TEXT["To"]) -> dict[str, Any]:
    messages = [{"sid": f"SM{n}", "to": to, "body": body, "date_created": at} for n, body in enumerate(bodies)]
    return {"messages": messages, "next_page_uri": None}


def looked(tool: str, body: Any, arguments: dict[str, Any], taken: tuple[str, ...] = ()) -> tuple[list[Any], bool]:
    """Ids of what is taken for the call's own, and whether there is proof of absence."""
    look = TOOLS[tool].settle
    assert look is not None
    found = [item[look.unique] for item in matching(look, body, arguments, INTENDED)]
    return found, not found and listed(look, body, arguments) and not goes_on(look, body, arguments, INTENDED, taken)


@pytest.mark.rule(10)
@pytest.mark.parametrize(
    "body",
    [
        TEXT["Body"],
        "Sent from your Twilio trial account - " + TEXT["Body"],
        "We come on Monday - don't wait.",
        "We come on Monday – don’t wait.\n",
        "We come on  Monday –\u00a0don’t wait.",
    ],
)
def test_a_text_that_reads_the_same_is_ours(body: str) -> None:
    assert looked("twilio_send_message", texts(body), TEXT) == (["SM0"], False)


@pytest.mark.rule(10)
@pytest.mark.parametrize(
    "body", ["", "We come on Monday", "We come on Monday - see https://twil.io/x", "Something else"]
)
def test_another_young_text_to_the_number_could_be_ours_in_other_words(body: str) -> None:
    assert looked("twilio_send_message", texts(body), TEXT) == ([], False)
    assert looked("twilio_send_message", texts(body), TEXT, taken=("SM0",)) == ([], True), "it is another call's"
    assert looked("twilio_send_message", texts(body, at=BEFORE), TEXT) == ([], True), "it is older"
    assert looked("twilio_send_message", texts(body, to="+41790000000"), TEXT) == ([], True)


def test_what_is_equal_comes_before_what_reads_the_same() -> None:
    plain = TEXT | {"Body": "Hello"}
    assert looked("twilio_send_message", texts("Hello ", "Hello"), plain)[0] == ["SM1", "SM0"]


NOTE = {
    "properties": {
        "hs_note_body": '<p onclick="x()">Likes <b>tea</b> & cake<br/>Call</p>',
        "hs_timestamp": "2030-01-01T00:00:00Z",
    },
    "associations": [{"to": {"id": "5"}}],
}


def notes(body: str, number: str = "9", at: str = "2026-11-23T12:00:03Z") -> dict[str, Any]:
    return {"results": [{"id": number, "createdAt": at, "properties": {"hs_note_body": body}}]}


@pytest.mark.rule(10)
def test_sanitised_rich_text_is_found_and_a_shortened_one_is_no_proof() -> None:
    assert looked("hubspot_create_note", notes("<p>Likes <b>tea</b> &amp; cake<br>Call</p>"), NOTE)[0] == ["9"]
    assert looked("hubspot_create_note", notes("<p>Likes tea</p>"), NOTE) == ([], False)
    assert looked("hubspot_create_note", notes("<p>Likes tea</p>", at="2026-11-23T10:00:00Z"), NOTE) == ([], False)


@pytest.mark.rule(10)
@pytest.mark.parametrize("kind", ["company", "deal", "note", "task", "ticket"])
def test_an_index_that_shows_nothing_proves_nothing(kind: str) -> None:
    look = TOOLS[f"hubspot_create_{kind}"].settle
    assert look is not None
    assert not listed(look, {"total": 0, "results": []}, {})


def test_absence_is_proven_by_a_list_that_is_up_to_date() -> None:
    absence = Absence("list", {}, "results.*.toObjectId", more="paging.next")
    shown = {"things": [{"id": "1"}, {"id": 2}, {"id": "3"}]}
    all_of_them = {"results": [{"toObjectId": 1}, {"toObjectId": "2"}]}
    assert unexplained(absence, all_of_them, settle(), shown, {}) == set()
    assert unexplained(absence, {"results": []}, settle(), shown, {}) == set()
    assert unexplained(absence, {"results": [{"toObjectId": 7}]}, settle(), shown, {}) == {"7"}
    assert unexplained(absence, all_of_them | {"paging": {"next": {"after": "2"}}}, settle(), shown, {}) is None
    nothing: list[Any] = [None, {}, [], {"status": "error"}]
    for other in nothing:
        assert unexplained(absence, other, settle(), shown, {}) is None


@pytest.mark.parametrize(
    ("ours", "theirs"), [("", ""), ("a", None), (None, "a"), ("<br>", " "), ("a", "ab"), ("a b", "ab")]
)
def test_no_text_is_the_same_as_another(ours: Any, theirs: Any) -> None:
    assert not same_text(ours, theirs)


def test_only_what_is_declared_as_rewritten_is_compared_by_its_words() -> None:
    body = {"things": [{"id": 1, "name": "A  b", "at": None}]}
    assert matching(settle(), body, {"name": "A b"}, INTENDED) == []
    assert lookalikes(settle(), body, {"name": "A b"}, INTENDED) == []
    assert matching(settle(rewritten=("name",)), body, {"name": "A b"}, INTENDED) == body["things"]
