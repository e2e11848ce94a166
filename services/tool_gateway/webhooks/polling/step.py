"""What reading a vendor's list gives: entries in the shape of a delivery, and where the next reading begins.

Most lists are read in slices of time, each one whole before it is handed on: lists have their newest first, and events of
one thing must keep their order. A slice with more in it than a few pages is halved. So a position is one moment, a round
after days of silence is bounded, and whoever is stopped in the middle begins the same slice again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from shared.errors import VioxError

Position = dict[str, Any]
MOST_PAGES = 10
MOST_PAGES_OF_A_SECOND = 100  # a slice that cannot be halved any more
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(hours=6)


class NotNow(VioxError):
    """The vendor cannot be read now, or does not let us. `wait_seconds`: when it asked to be left alone for so long."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        wait_seconds: float | None = None,
        status: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(code, message, field=field, remedy=remedy)
        self.wait_seconds, self.status = wait_seconds, status


class Desk(Protocol):
    """What a reader may ask for."""

    async def ask(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The JSON that a reading tool answers with. Raises NotNow."""

    async def known(self, source: str, ids: Sequence[str]) -> set[str]:
        """Which of these events have been accepted."""

    def setting(self, name: str) -> str:
        """A fact of the deployment. Raises NotNow when it is not set."""


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of a list. `entries` are deliveries as the vendor would have made them, oldest first. `reached`: up to when
    everything is known now. `parts` are further lists that were found; `gone`: there is no such list any more."""

    entries: Sequence[Any]
    position: Position
    reached: datetime
    more: bool = False
    parts: Mapping[str, Position] = field(default_factory=dict)
    gone: bool = False


Read = Callable[[Desk, Position, datetime], Awaitable[Step]]
"""(desk, position, now) → the next step. Raises NotNow."""
Slice = Callable[[Desk, datetime, datetime, int], Awaitable[list[Any] | None]]
"""(desk, since, until, pages) → all entries of that time, oldest first; None when they are more than so many pages."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that is read in slices of time.

    `lag_seconds`: how late the vendor shows what happened. `overlap_seconds`: what is read once more each time, for what
    appears later than that or is listed by the moment when it began. `days`: how far back the vendor lists.
    """

    slice: Slice
    lag_seconds: float = 5.0
    overlap_seconds: float = 300.0
    days: int | None = None

    async def read(self, desk: Desk, position: Position, now: datetime) -> Step:
        """The next slice. `since` is up to when everything is known, `at` where the round goes on that is under way."""
        position, since = self._within_reach(position, now)
        end = now - timedelta(seconds=self.lag_seconds)
        at = moment_of(position, "at") if "at" in position else since - timedelta(seconds=self.overlap_seconds)
        width = timedelta(seconds=float(position.get("slice", LONGEST.total_seconds())))
        until = min(end, at + width)
        if until <= at:
            return Step([], position, since)
        narrow = until - at <= SHORTEST
        entries = await self.slice(desk, at, until, MOST_PAGES_OF_A_SECOND if narrow else MOST_PAGES)
        if entries is None and narrow:
            raise NotNow("poll.too_many", f"the second from {_text(at)} has too many entries.")
        if entries is None:
            return Step([], position | {"at": _text(at), "slice": ((until - at) / 2).total_seconds()}, since, more=True)
        following = position | {"since": _text(max(since, until)), "slice": min(width * 2, LONGEST).total_seconds()}
        if until < end:
            return Step(entries, following | {"at": _text(until)}, max(since, until), more=True)
        following.pop("at", None)
        return Step(entries, following, max(since, until))

    def _within_reach(self, position: Position, now: datetime) -> tuple[Position, datetime]:
        """What the vendor does not list any more is lost, and said to be."""
        since = moment_of(position, "since")
        if self.days is None or since >= (first := now - timedelta(days=self.days)):
            return position, since
        return position | {"lost": [_text(since), _text(first)], "since": _text(first), "at": _text(first)}, first


def first_position(now: datetime, seconds: float) -> Position:
    """Where a list is begun: nothing before that is read."""
    first = _text(now - timedelta(seconds=seconds))
    return {"since": first, "at": first}


def moment_of(position: Position, name: str) -> datetime:
    return datetime.fromisoformat(position[name])


def items(answer: Any, name: str) -> list[Any]:
    """The list that an answer has under this name. Raises NotNow when it is another kind of answer."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise NotNow(
            "poll.unreadable", f"the answer has no list {name!r}.", remedy="Compare it with the vendor's documentation."
        )
    return found


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
