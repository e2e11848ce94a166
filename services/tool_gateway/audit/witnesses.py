"""Asking witnesses to sign the log's checkpoints, too: others who look whether each tree begins with the last one that they saw.

The protocol is C2SP tlog-witness: a checkpoint is sent with the proof that it begins with what the witness signed last, and its
timestamped signature comes back (C2SP tlog-cosignature). The sequencer knows nothing of this: a witness that is away or refuses
is asked again, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from shared.audit.store import SQL, Head, Tiles, head
from shared.audit.verify import COSIGNATURE, Checkpoint, Key, Refused
from shared.errors import BadInput
from shared.store.pool import Connection, Pool
from shared.telemetry import metrics
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
SETTING = "VIOX_AUDIT_WITNESSES"
EVERY_SECONDS = 60.0
SECONDS = 10.0
MOST_BYTES = 64_000
OTHER_SIZE = "text/x.tlog.size"
_EXAMPLE = (
    "Write a line for each: its public key (witness.example/w1+5f3c1a2b+BA…) and its address, with a space between."
)


@dataclass(frozen=True, slots=True)
class Witness:
    """Who signs, too. `address` is what `/add-checkpoint` comes behind."""

    key: Key
    address: str

    @property
    def name(self) -> str:
        return self.key.name


def read_witnesses(file: Path | None) -> list[Witness]:
    """The witnesses in a file. Raises BadInput naming the line."""
    if file is None:
        return []
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("file.unreadable", f"{file}: {error}.", field=SETTING, remedy="Name a text file.") from error
    told = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    found = [_witness(number, line) for number, line in told if line and not line.startswith("#")]
    if len({one.name for one in found}) < len(found):
        raise BadInput("settings.invalid", f"{file} names a witness twice.", field=SETTING, remedy="Take one out.")
    return found


def _witness(number: int, line: str) -> Witness:
    text, _, address = line.partition(" ")
    try:
        key = Key.read(text)
    except Refused as refused:
        raise BadInput("settings.invalid", f"line {number}: {refused}.", field=SETTING, remedy=_EXAMPLE) from refused
    place = urlsplit(address.strip())
    if key.kind != COSIGNATURE or place.scheme not in ("http", "https") or not place.netloc:
        told = "no key of a witness (its kind is 4)" if key.kind != COSIGNATURE else "no address"
        raise BadInput("settings.invalid", f"line {number} has {told}.", field=SETTING, remedy=_EXAMPLE)
    return Witness(key, address.strip().rstrip("/"))


class Witnesses:
    """Has new checkpoints signed by each witness, by one replica as a rule."""

    def __init__(self, pool: Pool, witnesses: Sequence[Witness], every: float = EVERY_SECONDS) -> None:
        self._pool = pool
        self._witnesses = witnesses
        self._every = every
        self._signed = {one.name: time.monotonic() for one in witnesses}
        self._problems: dict[str, str] = {}
        for one in witnesses:
            metrics.AUDIT_WITNESS_AGE.labels(one.name).set_function(partial(self._age, one.name))

    def _age(self, witness: str) -> float:
        return time.monotonic() - self._signed[witness]

    @property
    def problem(self) -> str | None:
        """For readiness: which witness does not sign, and why."""
        return "; ".join(f"{name}: {told}" for name, told in self._problems.items()) or None

    async def run(self) -> None:
        while True:
            await asyncio.gather(*(self._try(one) for one in self._witnesses))
            await asyncio.sleep(self._every)

    async def _try(self, witness: Witness) -> None:
        try:
            await self.ask(witness)
        except Exception as error:  # noqa: BLE001  # Postgres or the witness is away, or it refuses: ask again
            told = str(error) or type(error).__name__
            if self._problems.get(witness.name) != told:
                log.warning("audit.not_witnessed", witness=witness.name, error=error)
            self._problems[witness.name] = told
        else:
            self._problems.pop(witness.name, None)

    async def ask(self, witness: Witness) -> None:
        """Have the newest checkpoint signed unless it is, or another replica asked just now. Raises Refused."""
        async with self._pool.acquire() as connection:
            now = await head(connection)
            last = await connection.fetchrow(*SQL.bind("cosigned", log=now.log_id, witness=witness.name))
            old, at = (last["size"], last["at"]) if last else (0, None)
            if now.note is None or now.signed is None or old == now.signed:
                self._signed[witness.name] = time.monotonic()
                return
            if at is not None and datetime.now(UTC) - at < timedelta(seconds=self._every * 0.9):
                self._signed[witness.name] = time.monotonic() - (datetime.now(UTC) - at).total_seconds()
                return
        line = await self._cosignature(witness, Checkpoint.read(now.note), now, old)
        bound = SQL.bind("cosign", log=now.log_id, size=now.signed, witness=witness.name, line=line)
        await self._pool.execute(*bound)
        self._signed[witness.name] = time.monotonic()

    async def _cosignature(self, witness: Witness, checkpoint: Checkpoint, now: Head, old: int) -> str:
        """The line that the witness adds. It knows best what it saw last: where that is another size, it says so once."""
        for _ in range(2):
            status, kind, answer = await _post(witness, await self._request(checkpoint, now, old))
            if status != 409 or kind != OTHER_SIZE:
                break
            old = _size(answer, checkpoint)
        if status != 200:
            raise Refused(f"HTTP {status} {answer.strip()[:200]}".rstrip())
        return _line_of(witness.key, checkpoint, answer)

    async def _request(self, checkpoint: Checkpoint, now: Head, old: int) -> str:
        async with self._pool.acquire() as connection:
            proof = await _consistency(connection, now.log_id, old, checkpoint.size)
        hashes = "".join(base64.b64encode(one).decode() + "\n" for one in proof)
        return f"old {old}\n{hashes}\n{checkpoint.note}"


async def _consistency(connection: Connection, log_id: int, old: int, new: int) -> list[bytes]:
    return [] if old in (0, new) else await Tiles(connection, log_id).consistency(old, new)


async def _post(witness: Witness, body: str) -> tuple[int, str, str]:
    """(status, media type, text) of its answer."""
    limit = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=limit, trust_env=True) as session:
        answering = session.post(f"{witness.address}/add-checkpoint", data=body.encode(), allow_redirects=False)
        async with answering as answer:
            text = (await answer.content.read(MOST_BYTES)).decode(errors="replace")
            return answer.status, answer.content_type, text


def _size(answer: str, checkpoint: Checkpoint) -> int:
    """What the witness signed last. Raises Refused where that is more than there is: somebody took leaves away."""
    text = answer.strip()
    if not text.isdecimal():
        raise Refused(f"it says that it signed {text[:40]!r} leaves")
    if int(text) > checkpoint.size:
        raise Refused(
            f"it signed a log of {text} leaves, and there are {checkpoint.size}: the database is older. "
            "Run `viox audit verify`."
        )
    return int(text)


def _line_of(key: Key, checkpoint: Checkpoint, answer: str) -> str:
    """The line of the answer that is this witness's. Raises Refused unless its signature is of this checkpoint."""
    for line in answer.split("\n"):
        signed = Checkpoint.read(f"{checkpoint.note.partition(chr(10) * 2)[0]}\n\n{line}\n")
        if signed.signature_of(key) is not None:
            signed.check_signed(key)
            return line
    raise Refused(f"it sent no signature of {key.name} with this key")
