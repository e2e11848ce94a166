"""Until when people agree to such calls: a time to come, or a span from now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import BadInput
from shared.operations.approvals import end as _end


def test_a_span_is_from_now_and_nothing_is_a_month() -> None:
    now = datetime.now(UTC)
    assert timedelta(days=6) < _end("7d") - now < timedelta(days=8)
    assert timedelta(days=29) < _end(None) - now < timedelta(days=31)


@pytest.mark.parametrize("given", ["2020-01-01T00:00:00Z", "2020-01-01", "tomorrow", "9999d", "0d"])
def test_what_is_over_too_far_or_no_time_is_named(given: str) -> None:
    with pytest.raises(BadInput) as error:
        _end(given)
    assert error.value.field == "--until"
