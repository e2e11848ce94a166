"""Who may sign in, as VIOX_PEOPLE has it now: the file is read again when it has changed."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from services.console.oidc import EMAIL, Provider
from shared.errors import BadInput
from shared.people import People, Person, read_people
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class Roster:
    """`provider` is where people sign in without a token."""

    def __init__(self, path: Path | None, provider: Provider | None = None) -> None:
        self._path, self._provider = path, provider
        self._seen: tuple[int, int] | None = None
        self._people = People()

    @property
    def able(self) -> bool:
        """Whether anybody could sign in."""
        return any(self._may(person) for person in self.read())

    @property
    def tokens(self) -> bool:
        """Whether anybody could sign in with a token."""
        return any(person.token_sha256 for person in self.read())

    def _may(self, person: Person) -> bool:
        return bool(person.token_sha256 or (self._provider and _at_provider(person, self._provider.claim)))

    def read(self) -> People:
        """Everybody. A file that cannot be read any more leaves those of before. Raises BadInput at the first time."""
        if self._path is None:
            return self._people
        try:
            stat = self._path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            mark = None
        if mark != self._seen or self._seen is None:
            try:
                self._people, self._seen = read_people(self._path), mark
            except BadInput as error:
                if self._seen is None:
                    raise
                log.warning("console.people_unreadable", error=error)
        return self._people

    def by_token(self, token: str) -> Person | None:
        """Whose token this is. Every digest is compared, so that the time tells nothing."""
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        found = [one for one in self.read() if one.token_sha256 and hmac.compare_digest(one.token_sha256, given)]
        return found[0] if found else None

    def named(self, name: str) -> Person | None:
        """Somebody who is still in the file, and could still sign in."""
        return next((one for one in self.read() if one.name == name and self._may(one)), None)

    def by_claim(self, claim: str, value: str) -> Person | None:
        """Whom a provider means. None where it could be several."""
        wanted = value.casefold() if claim == EMAIL else value
        found = [one for one in self.read() if _at_provider(one, claim) == wanted]
        return found[0] if len(found) == 1 else None


def _at_provider(person: Person, claim: str) -> str | None:
    """Who somebody is there: their `login`, or their mail address where that is what the provider says."""
    if claim == EMAIL:
        known = person.login or person.email
        return known.casefold() if known else None
    return person.login
