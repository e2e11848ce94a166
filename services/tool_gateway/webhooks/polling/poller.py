"""Reads vendors' lists in turn: one replica a list at a time, one list a vendor, so many steps a round.

What a list tells is accepted exactly as a delivery is. Only then does the position move on, so that whoever is killed
reads the same piece again; what was accepted before is known by its identity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.webhooks.polling.asking import Asker
from services.tool_gateway.webhooks.polling.step import NotNow, Position, Read, Step, first_position
from services.tool_gateway.webhooks.polling.store import Claimed, PollStore
from services.tool_gateway.webhooks.polling.vendors import VENDORS, Vendor
from services.tool_gateway.webhooks.sources import Sources
from services.tool_gateway.wire.credentials import Secrets
from shared.errors import BadInput, VioxError
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
Take = Callable[[str, Sequence[Any], datetime], Awaitable[int]]
"""(source, entries, when they were read) → how many events were new. Raises when they could not be stored."""
STEPS = 10  # a round
LOOK_SECONDS = 1.0
TELL_SECONDS = 15.0
SOON_SECONDS = 1.0  # until the next round of a list that goes on
SHORTEST_WAIT, LONGEST_WAIT = 5.0, 300.0  # after a vendor that could not be read


class Poller:
    """The lists that this gateway reads. `every` is the usual pause in seconds; 0 reads none, except where a vendor has its own."""

    def __init__(
        self,
        asker: Asker,
        store: PollStore,
        take: Take,
        sources: Sources,
        secrets: Secrets,
        *,
        every: float,
        first_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._asker = asker
        self._store = store
        self._take = take
        self._sources = sources
        self._secrets = secrets
        self._every = every
        self._first = first_seconds
        self._now = now
        self._pauses = {name: pause_of(secrets, name) for name in VENDORS}
        self._on: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell())
            while True:
                try:
                    await self._begin()
                    while (one := await self._store.claim(list(self._on), list(self._busy))) is not None:
                        self._busy[one.webhook] = group.create_task(self._round(one))
                except Exception as error:  # noqa: BLE001  # Postgres away: the positions stay where they are
                    log.warning("poll.not_begun", error=error)
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await within(LOOK_SECONDS, self._wake.wait())

    def wake(self) -> None:
        """Look now which lists are due."""
        self._wake.set()

    def pauses(self) -> dict[str, float]:
        """Seconds between rounds of the vendors whose lists are read. Raises BadInput when a file with a secret is unreadable."""
        return {name: pause for name in VENDORS if (pause := self._pause(VENDORS[name])) > 0}

    async def told(self, source: str, documents: Sequence[Mapping[str, Any]]) -> bool:
        """A delivery that carries nothing: True when its list is read because of it, and the delivery need not be kept."""
        vendor = VENDORS.get(source)
        if vendor is None or vendor.points_at is None or source not in self.pauses():
            return False
        now = self._now()
        for ping in documents:
            part, beginning = vendor.points_at(ping, now, self._first)
            await self._store.hurry(source, part, beginning, now)
        self._wake.set()
        return True

    def _pause(self, vendor: Vendor) -> float:
        """Vendors whose webhooks are not used are not read either, unless they have a pause of their own."""
        own = self._pauses[vendor.name]
        if own == 0 or not self._asker.has_credentials(vendor.tool, vendor.settings):
            return 0.0
        if own is None and vendor.pause is not None:
            return vendor.pause
        source = self._sources.get(vendor.name)
        used = source is not None and bool(self._sources.secrets_of(source))
        return own if own is not None else self._every if used else 0.0

    async def _begin(self) -> None:
        """Rows of the lists that are read from now on."""
        found = self.pauses()
        for name in found.keys() - self._on.keys():
            now = self._now()
            parts = {part: first_position(now, self._first) for part in VENDORS[name].first_parts}
            await self._store.begin(name, parts, now)
        self._on = found

    async def _round(self, one: Claimed) -> None:
        found = caught = 0
        problem: str | None = None
        after = self._on.get(one.webhook, LONGEST_WAIT)
        try:
            found, caught, more, gone = await self._steps(one)
            after = SOON_SECONDS if more else after
            if gone:
                await self._store.gone(one)
        except NotNow as error:
            problem = f"{error.code}: {error.message}"
            after = min(max(error.wait_seconds or after, SHORTEST_WAIT), LONGEST_WAIT)
            log.warning("poll.not_now", source=one.webhook, part=one.part, error=error, seconds=after)
        except Exception as error:  # noqa: BLE001  # Postgres away, or a vendor that is odder than foreseen: read it again
            said = error.code if isinstance(error, VioxError) else type(error).__name__
            problem, after = f"{said}: what was read could not be taken in.", min(after, LONGEST_WAIT)
            log.warning("poll.failed", source=one.webhook, part=one.part, error=error)
        try:
            metrics.POLL_ROUNDS.labels(one.webhook, "failed" if problem else "read").inc()
            await self._store.ended(one, found, caught, after, problem)
        except Exception as error:  # noqa: BLE001  # the lease runs out, and somebody reads on
            log.warning("poll.not_ended", source=one.webhook, part=one.part, error=error)
        finally:
            del self._busy[one.webhook]
            self._wake.set()

    async def _steps(self, one: Claimed) -> tuple[int, int, bool, bool]:
        """Events found, those that were new, whether the list goes on, whether it is gone."""
        found = caught = 0
        read, position = VENDORS[one.webhook].reader(one.part, self._first), one.position
        for _ in range(STEPS):
            step = await self._step(read, position)
            new = await self._take(one.webhook, step.entries, step.reached) if step.entries else 0
            found, caught, position = found + len(step.entries), caught + new, step.position
            if step.parts:
                await self._store.begin(one.webhook, step.parts, self._now())
            if not await self._store.reached(one, position, step.reached, len(step.entries), new):
                return found, caught, False, False  # another replica reads on
            if step.gone or not step.more:
                return found, caught, False, step.gone
        return found, caught, True, False

    async def _step(self, read: Read, position: Position) -> Step:
        step = await read(self._asker, position, self._now())
        if "lost" in step.position and step.position.get("lost") != position.get("lost"):
            log.error("poll.out_of_reach", since=step.position["lost"][0], until=step.position["lost"][1])
        return step

    async def _tell(self) -> None:
        while True:
            try:
                for name, seconds in (await self._store.ages(list(self._on))).items():
                    metrics.POLL_AGE.labels(name).set(seconds)
            except Exception as error:  # noqa: BLE001  # told again soon
                log.warning("poll.ages_not_told", error=error)
            await asyncio.sleep(TELL_SECONDS)


def pause_of(secrets: Secrets, vendor: str) -> float | None:
    """`<VENDOR>_POLL_SECONDS`. Raises BadInput when it is no number of seconds."""
    name = f"{vendor.upper()}_POLL_SECONDS"
    given = secrets.or_none(name)
    if given is None:
        return None
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 86400:
        raise BadInput(
            "settings.invalid", f"{given!r} is no number of seconds.", field=name, remedy="For instance 300; 0: never."
        )
    return found
