"""Makes leaves of entries and signs what the tree has come to, once a second, at one gateway at a time.

Leaves are committed before their root is signed, so that a checkpoint never says more than the database has; and before
anything is signed, the tree has to begin with every checkpoint that is remembered outside Postgres. When it does not, or
the key is another, nothing is signed until somebody has looked: two signed stories of one log are what must not be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.tool_gateway.audit.remembered import CheckpointFile, CheckpointTopic, publish_key
from shared.audit import notes
from shared.audit.notes import Signer
from shared.audit.store import SQL, Head, Tiles, head
from shared.audit.verify import Checkpoint, Refused
from shared.store.pool import Pool
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
TOLD_EVERY = 60  # failures in a row from one word about them to the next
EVERY_SECONDS = 1.0
BATCH = 10_000
NO_KEY = "VIOX_AUDIT_KEY is not set: nothing is made a leaf, and nothing is signed"
AGAIN = "When the database was restored on purpose: `viox audit restart --reason ...`."

Signed = Callable[[str], None]


class Sequencer:
    """`key` is the file of the private key; `signed` is told of each new checkpoint."""

    def __init__(
        self, pool: Pool, key: Path | None, file: CheckpointFile, topic: CheckpointTopic, signed: Signed
    ) -> None:
        self._pool = pool
        self._key = key
        self._file = file
        self._topic = topic
        self._signed = signed
        # Of a log (number, transaction): when that transaction is over, all entries up to the number are there.
        self._moments: dict[int, tuple[int, int]] = {}
        self._failures = 0  # looks in a row that Postgres or Kafka did not let through
        self._looked = time.monotonic()
        self.problem: str | None = NO_KEY if key is None else None
        metrics.AUDIT_CHECKPOINT_AGE.set_function(lambda: time.monotonic() - self._looked)
        metrics.AUDIT_STOPPED.set(0 if self.problem is None else 1)

    async def run(self) -> None:
        if self._key is None:
            log.warning("audit.no_key", remedy="See docs/audit.md.")
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._key is not None:
                await self._try()

    async def _try(self) -> None:
        try:
            while await self.tick():
                pass
        except Refused as refused:
            self._stop(str(refused))
        except Exception as error:  # noqa: BLE001  # Postgres or Kafka away: nothing is lost, look again
            if self._failures % TOLD_EVERY == 0:
                log.warning("audit.not_looked", error=error, times=self._failures + 1)
            self._failures += 1
        else:
            self._failures = 0

    async def tick(self) -> bool:
        """Make leaves of what there is, and sign. Whether there is more. Raises Refused when nothing may be signed."""
        async with self._pool.acquire() as connection:
            more = await self._grow(connection)
            await self._sign(connection)
        self._going()
        return more

    async def _grow(self, connection: Any) -> bool:
        """Whether there is more. Raises Refused, and leaves word of it in Postgres."""
        async with connection.transaction():
            if not await connection.fetchval(SQL["lock"]):
                return False  # another replica does it right now
            now = await head(connection)
            try:
                await self._check(connection, now)
                return await self._append(connection, now)
            except Refused as refused:
                stopped = refused
        await connection.execute(*SQL.bind("looked", log=now.log_id, stopped=str(stopped)))
        raise stopped

    # -- may it go on? -----------------------------------------------------------------------------------------------

    def _signer(self, log_id: int) -> Signer:
        """Raises Refused when the key cannot be read."""
        assert self._key is not None  # noqa: S101  # run looks
        try:
            return Signer.read(self._key.read_text()).of_log(log_id)
        except OSError as error:
            raise Refused(f"VIOX_AUDIT_KEY: {self._key} cannot be read ({error.strerror}).") from error
        except Refused as refused:
            raise Refused(f"VIOX_AUDIT_KEY: {self._key}: {refused}.") from None

    async def _check(self, connection: Any, now: Head) -> None:
        """Raises Refused unless the tree begins with every checkpoint that we know of, and the key is the one of before."""
        signer, tiles = self._signer(now.log_id), Tiles(connection, now.log_id)
        known = {one.note: (one, "the topic of checkpoints") for one in await self._topic.newest()}
        if now.note is not None:
            known[now.note] = (Checkpoint.read(now.note), "the database")
        if last := self._file.newest():
            known[last.note] = (last, str(self._file.path))
        for one, where in known.values():
            await _check_one(one, where, signer, tiles, now)

    # -- leaves ------------------------------------------------------------------------------------------------------

    async def _append(self, connection: Any, now: Head) -> bool:
        """What is visible now and no leaf yet becomes leaves, in the order of its numbers. Whether there is more.

        A transaction that is still open has taken numbers below those of others. They become leaves once it has ended,
        behind them; `complete_to` says from where on to look, and moves when nothing below it can come any more.
        """
        log_id, above = now.log_id, now.complete_to
        taken = await connection.fetchval(SQL["taken"])
        moment = await connection.fetchrow(SQL["moment"])
        known = [
            n for row in await connection.fetch(*SQL.bind("known", log=log_id, above=above)) for n in row["entries"]
        ]
        rows = await connection.fetch(*SQL.bind("unsequenced", above=above, known=known, limit=BATCH))
        metrics.AUDIT_UNSEQUENCED.set(len(rows))
        if rows:
            await Tiles(connection, log_id).append(now.size, rows)
        if len(rows) == BATCH:
            return True
        waits = self._moments.get(log_id)
        if waits and moment["over"] >= waits[1]:
            await connection.execute(*SQL.bind("complete", log=log_id, to=waits[0]))
            waits = None
        self._moments[log_id] = waits or (taken, moment["ahead"])
        return False

    async def _sign(self, connection: Any) -> None:
        """A checkpoint of what is committed, where there is none yet."""
        async with connection.transaction():
            if not await connection.fetchval(SQL["lock"]):
                return
            now = await head(connection)
            await connection.execute(*SQL.bind("looked", log=now.log_id, stopped=None))
            note = now.note
            if now.size and now.signed != now.size:
                root = await Tiles(connection, now.log_id).root(now.size)
                note = self._signer(now.log_id).checkpoint(now.size, root)
                await connection.execute(*SQL.bind("sign", log=now.log_id, size=now.size, root=root, note=note))
        metrics.AUDIT_TREE_SIZE.set(now.size)
        if note is not None and not self._in_file(note):
            publish_key(self._file.path.parent, notes.key_text(self._signer(notes.FIRST_LOG).key) + "\n")
            self._file.append(note)
            self._signed(note)

    def _in_file(self, note: str) -> bool:
        """Also what another replica signed is put into our own file."""
        last, this = self._file.newest(), Checkpoint.read(note)
        return last is not None and (last.origin, last.size) == (this.origin, this.size)

    # -- how it stands -----------------------------------------------------------------------------------------------

    def _stop(self, reason: str) -> None:
        if self.problem != reason:
            log.error("audit.stopped", reason=reason)
        self.problem = reason
        metrics.AUDIT_STOPPED.set(1)

    def _going(self) -> None:
        if self.problem is not None:
            log.info("audit.goes_on")
        self.problem, self._looked = None, time.monotonic()
        metrics.AUDIT_STOPPED.set(0)
        metrics.AUDIT_UNSEQUENCED.set(0)


async def _check_one(one: Checkpoint, where: str, signer: Signer, tiles: Tiles, now: Head) -> None:
    """Raises Refused unless this checkpoint is of the tree. Those of logs before this one say nothing about it."""
    if one.origin != signer.name:
        if _before(one.origin, signer.name, now):
            return
        raise Refused(f"{where} has checkpoints of {one.origin}, and the log here is {signer.name}. {AGAIN}")
    try:
        one.check_signed(signer.key)
    except Refused:
        raise Refused(
            f"the newest checkpoint in {where} was signed with another key than VIOX_AUDIT_KEY. Bring the key back, or begin a "
            "new log: `viox audit restart --reason ...`."
        ) from None
    if one.size > now.size:
        raise Refused(
            f"the log has {now.size} leaves, and {one.size} were signed ({where}): the database is older. {AGAIN}"
        )
    if await tiles.root(one.size) != one.root:
        raise Refused(f"the first {one.size} leaves are others than were signed ({where}). Run `viox audit verify`.")


def _before(origin: str, current: str, now: Head) -> bool:
    """Whether this is the origin of a log of the same key that was begun before the current one."""
    name = current.removesuffix(f"/{now.log_id}") if now.log_id != notes.FIRST_LOG else current
    if origin == name:
        return now.log_id != notes.FIRST_LOG
    number = origin.removeprefix(f"{name}/")
    return number.isdecimal() and int(number) < now.log_id
