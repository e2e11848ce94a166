"""Who calls: a bearer token stands for one agent. Settings hold digests of tokens, so that nothing here knows one.

A token has 256 random bits, so that a plain SHA-256 of it cannot be turned around.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.tool_gateway.wire.credentials import Secrets
from shared.bus import topics
from shared.errors import BadInput
from shared.telemetry.logs import get_logger

log = get_logger(__name__)
FRESH_SECONDS = 1.0  # settings in files are read again after that
SHOWN = 12  # characters of a digest that tell tokens apart
LONGEST_HEADER = 512
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BEARER = re.compile(r"[Bb]earer +([\x21-\x7e]+) *")


@dataclass(frozen=True, slots=True)
class Token:
    """One that is taken: its agent and the SHA-256 of it."""

    agent: str
    digest: str

    @property
    def shown(self) -> str:
        return self.digest[:SHOWN]


def setting(agent: str) -> str:
    """The setting with the digests of an agent's tokens, newest first, separated by commas."""
    return f"VIOX_INVOKE_TOKEN_{agent.replace('-', '_').upper()}"


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens of all agents. Several of one agent are good at once, while one is exchanged for another."""

    def __init__(self, secrets: Secrets, clock: Callable[[], float] = time.monotonic) -> None:
        self._secrets = secrets
        self._clock = clock
        self.forget()
        self._tokens: Sequence[Token] = ()
        self._problems: dict[str, str] = {}
        self._used: dict[str, datetime] = {}

    def agent_of(self, authorization: str | None) -> str | None:
        """The agent whose token an Authorization header has. Takes the same time whichever token it is, and if it is none."""
        given = _BEARER.fullmatch(authorization or "") if len(authorization or "") <= LONGEST_HEADER else None
        digest = digest_of(given[1]) if given else ""
        found = None
        for token in self._taken():
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None:
            return None
        self._used[found.digest] = datetime.now(UTC)
        return found.agent

    def rows(self) -> list[dict[str, Any]]:
        """Every token as it may be shown, and settings that cannot be used."""
        taken: list[dict[str, Any]] = [
            {"agent": one.agent, "token": one.shown, "problem": None, "last_used_at": self._used.get(one.digest)}
            for one in self._taken()
        ]
        return taken + [
            {"agent": agent, "token": "-", "problem": problem, "last_used_at": None}
            for agent, problem in self._problems.items()
        ]

    def forget(self) -> None:
        """Read the settings again at the next request."""
        self._read_at = -FRESH_SECONDS

    def _taken(self) -> Sequence[Token]:
        if self._clock() - self._read_at >= FRESH_SECONDS:
            self._read()
            self._read_at = self._clock()
        return self._tokens

    def _read(self) -> None:
        tokens, problems = dict[str, Token](), dict[str, str]()
        for agent in topics.AGENTS:
            try:
                for digest in _digests(agent, self._secrets):
                    tokens.setdefault(digest, Token(agent, digest))
            except BadInput as error:
                problems[agent] = f"{error.field}: {error.message}"
        for agent in problems.keys() - self._problems.keys():
            log.warning("invoke.token_unusable", agent=agent, problem=problems[agent])
        self._tokens, self._problems = tuple(tokens.values()), problems


def _digests(agent: str, secrets: Secrets) -> list[str]:
    """Raises BadInput for what is no digest, without saying what it is: it may be a token."""
    found = []
    for part in (secrets.or_none(setting(agent)) or "").split(","):
        if not (text := part.strip()):
            continue
        if not (digest := _DIGEST.fullmatch(text)):
            raise BadInput(
                "settings.invalid",
                "it is not a list of digests.",
                field=setting(agent),
                remedy=f"Make a token with `viox invoke-token {agent}` and set what it prints.",
            )
        found.append(digest[1])
    return found
