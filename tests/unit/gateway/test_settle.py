"""Look-ups: which of a vendor's items is the call's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.tool_gateway.call.outcome import projected
from services.tool_gateway.call.settle import as_answered, goes_on, matching
from services.tool_gateway.catalogue.tools import Settle
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
