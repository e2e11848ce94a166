"""A mailbox over IMAP (RFC 3501), read only: what came in for the business. As much of the protocol as reading by UID takes.

Mails get their UIDs in the order in which they come. `Mailbox.renumber` does what a restored server does: another UIDVALIDITY.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

CAPABILITIES = "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2"
_COMMAND = re.compile(r"(\S+) (UID )?([A-Za-z]+) ?(.*)")
_BODY = re.compile(r"BODY(?:\.PEEK)?\[\](?:<(\d+)\.(\d+)>)?", re.IGNORECASE)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LONGEST_LINE = 10_000


@dataclass(slots=True)
class Mailbox:
    """`rows`: {uid, received_at (RFC 3339), raw}."""

    validity: int = 1
    rows: list[dict[str, Any]] = field(default_factory=list)

    def put(self, raw: str, received_at: datetime | None = None) -> int:
        """The UID."""
        uid = self.rows[-1]["uid"] + 1 if self.rows else 1
        self.rows.append({"uid": uid, "received_at": (received_at or datetime.now(UTC)).isoformat(), "raw": raw})
        return int(uid)

    def renumber(self) -> None:
        self.validity += 1
        for place, row in enumerate(self.rows):
            row["uid"] = place + 1


def bearer(given: str) -> tuple[str, str]:
    """User and access token of an XOAUTH2 answer."""
    found = re.fullmatch(r"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01", given)
    return (found[1], found[2]) if found else ("", "")


class Connection:
    """One client's."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        box: Mailbox,
        is_login: Callable[..., bool],
        cut: Callable[[str], bool],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._box, self._is_login, self._cut = box, is_login, cut
        self._in, self._selected = False, False

    async def serve(self) -> None:
        self._say(f"* OK [CAPABILITY {CAPABILITIES}] sandbox ready")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while (line := await self._line()) is not None:
                found = _COMMAND.fullmatch(line)
                if found is None:
                    self._say("* BAD not understood")
                elif self._cut(found[3].upper()) or not await self._answer(found):
                    break
        self._writer.close()

    async def _answer(self, found: re.Match[str]) -> bool:
        """False at the end of the conversation."""
        tag, by_uid, name, rest = found[1], bool(found[2]), found[3].upper(), found[4]
        match name:
            case "CAPABILITY":
                self._say(f"* CAPABILITY {CAPABILITIES}")
            case "NOOP":
                pass
            case "LOGOUT":
                self._say("* BYE")
                self._say(f"{tag} OK done")
                return False
            case "LOGIN" | "AUTHENTICATE":
                self._in = await self._takes_login(name, rest)
                if not self._in:
                    self._say(f"{tag} NO [AUTHENTICATIONFAILED] Invalid credentials")
                    return True
            case _ if not self._in:
                self._say(f"{tag} NO log in first")
                return True
            case "SELECT" | "EXAMINE":
                self._select(rest)
                self._say(f"{tag} OK [READ-ONLY] done")
                return True
            case "SEARCH" | "FETCH" if by_uid and self._selected:
                self._search(rest) if name == "SEARCH" else self._fetch(rest)
            case _:
                self._say(f"{tag} BAD {name} is not known here")
                return True
        self._say(f"{tag} OK done")
        return True

    async def _takes_login(self, name: str, rest: str) -> bool:
        if name == "LOGIN":
            user, _, password = rest.partition(" ")
            return self._is_login(
                *(one.strip('"').replace('\\"', '"').replace("\\\\", "\\") for one in (user, password))
            )
        mechanism, _, inline = rest.partition(" ")
        if not inline:
            self._say("+ ")
            inline = await self._line() or ""
        given = base64.b64decode(inline).decode(errors="replace")
        if mechanism.upper() != "XOAUTH2":
            _, user, password = [*given.split("\0"), "", ""][:3]
            return self._is_login(user, password)
        taken = self._is_login(*bearer(given), token=True)
        if not taken:  # the reason comes first, and the client has to answer it
            self._say("+ " + base64.b64encode(b'{"status":"400","schemes":"Bearer"}').decode())
            await self._line()
        return taken

    def _select(self, rest: str) -> None:
        self._selected = True
        following = self._box.rows[-1]["uid"] + 1 if self._box.rows else 1
        self._say(f"* {len(self._box.rows)} EXISTS")
        self._say(f"* OK [UIDVALIDITY {self._box.validity}] UIDs are valid")
        self._say(f"* OK [UIDNEXT {following}] the next one")

    def _search(self, rest: str) -> None:
        rows, words = self._box.rows, rest.split()
        if words[:1] == ["SINCE"]:
            day, month, year = words[1].split("-")
            first = date(int(year), _MONTHS.index(month) + 1, int(day))
            found = [row["uid"] for row in rows if datetime.fromisoformat(row["received_at"]).date() >= first]
        elif words[:1] == ["UID"]:
            found = self._range(words[1])
        else:
            found = [row["uid"] for row in rows]
        self._say(" ".join(["* SEARCH", *map(str, found)]))

    def _range(self, given: str) -> list[int]:
        """`n:*` has the last mail in any case, as the protocol has it."""
        first, colon, last = given.partition(":")
        every = [int(row["uid"]) for row in self._box.rows]
        if colon and last == "*":
            return [uid for uid in every if uid >= int(first)] or every[-1:]
        return [uid for uid in every if int(first) <= uid <= int(last or first)]

    def _fetch(self, rest: str) -> None:
        given, _, _ = rest.partition(" ")
        wanted = _BODY.search(rest)
        for place, row in enumerate(self._box.rows, 1):
            if row["uid"] not in self._range(given):
                continue
            raw = row["raw"].encode("utf-8", "surrogateescape")
            at = datetime.fromisoformat(row["received_at"]).astimezone(UTC)
            stamp = f"{at.day:2}-{_MONTHS[at.month - 1]}-{at:%Y %H:%M:%S} +0000"
            told = f'* {place} FETCH (UID {row["uid"]} RFC822.SIZE {len(raw)} INTERNALDATE "{stamp}"'
            if wanted:
                part = raw[int(wanted[1]) :][: int(wanted[2])] if wanted[1] else raw
                name = f"BODY[]<{wanted[1]}>" if wanted[1] else "BODY[]"
                self._writer.write(f"{told} {name} {{{len(part)}}}\r\n".encode() + part)
                told = ""
            self._say(f"{told})")

    async def _line(self) -> str | None:
        line = await self._reader.readuntil(b"\r\n")
        return line[:-2].decode(errors="replace") if line else None

    def _say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")
