"""Asking the gateway about a tool: only it has the tools' documents. Nothing else goes to it from here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from shared.errors import Unavailable
from shared.operations.decisions import Shape, Tool

SECONDS = 10.0
STANDING_SECONDS = 0.5  # a page does not wait longer for what it can do without


@dataclass(frozen=True, slots=True)
class _Sensitive:
    found: bool

    def any_in(self, arguments: Mapping[str, Any], /) -> bool:
        return self.found


@dataclass(frozen=True, slots=True)
class Examined:
    """A tool with regard to arguments that the gateway was shown."""

    redact_arguments: _Sensitive
    problem: Mapping[str, Any] | None

    def problem_with(self, arguments: Mapping[str, Any], /) -> Mapping[str, Any] | None:
        return self.problem


@dataclass(frozen=True, slots=True)
class Standing:
    """Rates of a tool ({key, per_second, burst}), and seconds until a vendor that is left alone is tried (None: it is not)."""

    rates: list[dict[str, Any]]
    tries_in: float | None


class Gateway:
    def __init__(self, url: str | None, token: str | None) -> None:
        self._url = url
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    @property
    def known(self) -> bool:
        """Whether the gateway can be asked at all."""
        return bool(self._url and self._token)

    async def look_up(self, name: str, arguments: Mapping[str, Any], digest: str) -> tuple[Tool | None, Shape | None]:
        """The tool with regard to these arguments, and the shape of such a call. Raises Unavailable."""
        found = await self._asked({"tool": name, "arguments": dict(arguments)})
        if not found["known"]:
            return None, None
        shape = found["shape"]
        covers = Shape(tuple(shape["counterparties"]), shape["currency"], shape["amount"], shape["sha256"] and digest)
        return Examined(_Sensitive(found["sensitive"]), found["problem"]), covers

    async def standing(self, name: str) -> Standing | None:
        """How a tool stands at the gateway that answers. None where it does not know the tool, does not
        answer, or is of a version that does not say."""
        try:
            found = await self._asked({"tool": name, "arguments": {}}, STANDING_SECONDS)
        except Unavailable:
            return None
        return Standing(found["rates"], found["tries_in"]) if found["known"] and "rates" in found else None

    async def _asked(self, body: dict[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
        if not self.known or self._token is None:
            raise Unavailable(
                "gateway.unknown",
                "the console does not know the gateway.",
                remedy="Set VIOX_GATEWAY_URL and VIOX_OPERATOR_TOKEN.",
            )
        self._session = self._session or aiohttp.ClientSession()
        headers = {"Authorization": f"Bearer {self._token.split(',')[0].strip()}"}  # the newest one
        try:
            asking = self._session.post(f"{self._url}/examine", json=body, headers=headers)
            async with asyncio.timeout(seconds), asking as answer:
                if answer.status != 200:
                    raise Unavailable("gateway.refused", f"the gateway answered {answer.status}.")
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("gateway.unavailable", "the gateway does not answer.", remedy="Try again.") from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()
