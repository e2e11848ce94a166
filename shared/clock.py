"""The business's clock: the machine's, or ahead of it in a sandbox where somebody moved it (`viox clock advance 2d`).

In Postgres it is `viox_now()`. What is done outside of statements (policies read the hour) goes by this copy of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Says what time it is. `ahead` is how far the business's clock was moved, as Postgres had it last."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead
