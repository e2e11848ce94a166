"""Sessions of people who are signed in, the limit on failed attempts, and the record of what each did."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

from shared.errors import VioxError
from shared.store.sql import Queries

SQL = Queries(Path(__file__).with_suffix(".sql"))
COOKIE = "viox_session"
WINDOW_SECONDS = 300.0
MOST_HERE, MOST_EVERYWHERE = 10, 100  # failed attempts within the window, of one address and of all


class TooMany(VioxError):
    """Too many failed attempts to sign in."""


class Sessions:
    def __init__(self, pool: Any, hours: float) -> None:
        self._pool = pool
        self.hours = hours

    async def begin(self, person: str) -> str:
        """The secret for the cookie. Only its digest is kept."""
        secret = secrets.token_urlsafe(32)
        await self._pool.execute(*SQL.bind("begin", session=_digest(secret), person=person, hours=self.hours))
        await self.record(person, "sign-in", person)
        return secret

    async def person(self, secret: str | None) -> str | None:
        """Whose session it is, unless it has expired."""
        if not secret:
            return None
        found: str | None = await self._pool.fetchval(*SQL.bind("person", session=_digest(secret)))
        return found

    async def end(self, secret: str | None) -> None:
        if secret and (person := await self._pool.fetchval(*SQL.bind("end", session=_digest(secret)))):
            await self.record(person, "sign-out", person)
        await self._pool.execute(*SQL.bind("forget"))

    async def check_attempts(self, address: str) -> None:
        """Raises TooMany when an address, or all together, failed too often of late."""
        row = await self._pool.fetchrow(*SQL.bind("failures", address=address, seconds=WINDOW_SECONDS))
        if row["here"] >= MOST_HERE or row["everywhere"] >= MOST_EVERYWHERE:
            raise TooMany("sign_in.too_many", "too many failed attempts.", remedy="Try again in five minutes.")

    async def failed(self, address: str) -> None:
        await self._pool.execute(*SQL.bind("failed", address=address))

    async def record(self, person: str, act: str, subject: str, detail: Any = None) -> None:
        """Keep who did what to what."""
        await self._pool.execute(*SQL.bind("did", person=person, act=act, subject=subject, detail=detail))

    async def acts(self, subject: str | None, limit: int = 50) -> list[Any]:
        """What people did, to one thing or at all, newest first."""
        return list(await self._pool.fetch(*SQL.bind("acts", subject=subject, limit=limit)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
