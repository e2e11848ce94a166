"""Anthropic's prompt cache: what is marked with `cache_control` costs a quarter more once, and a tenth from then on.

A prefix is tools, then system, then messages, each block after the other. At a mark the whole prefix is written; a later
request finds the longest one of up to twenty blocks before each of its marks. Five minutes or an hour pass since the last use.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.models.limits import CACHE_FROM_TOKENS, tokens

MOST_MARKS = 4
LOOKS_BACK = 20
SECONDS = {"5m": 300.0, "1h": 3600.0}


class Cache:
    """What was written, and until when it is kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def take(self, body: Mapping[str, Any]) -> tuple[int, int, int, int]:
        """(read, written for 5 minutes, written for an hour, the rest) in tokens, of one request."""
        prefixes = list(_prefixes(body))
        total = prefixes[-1][1] if prefixes else 0
        marks = [place for place, (_, size, ttl) in enumerate(prefixes) if ttl and size >= CACHE_FROM_TOKENS]
        now = self._clock()
        read_to = self._found(prefixes, marks, now)
        read = prefixes[read_to][1] if read_to is not None else 0
        written = {"5m": 0, "1h": 0}
        reached = read
        for place in marks:
            digest, size, ttl = prefixes[place]
            self._until[digest] = now + SECONDS[ttl]
            written[ttl] += max(size - reached, 0)
            reached = max(reached, size)
        return read, written["5m"], written["1h"], total - reached

    def _found(self, prefixes: list[tuple[bytes, int, str]], marks: list[int], now: float) -> int | None:
        for mark in reversed(marks):
            for place in range(mark, max(mark - LOOKS_BACK, -1), -1):
                if self._until.get(prefixes[place][0], 0.0) > now:
                    return place
        return None


def cache_problem(body: Mapping[str, Any]) -> str | None:
    """What the API says of the marks in a request; None when they are well."""
    marks = [block["cache_control"] for block in _blocks(body) if block.get("cache_control") is not None]
    if len(marks) > MOST_MARKS:
        return f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {len(marks)}."
    lifetimes = []
    for mark in marks:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in SECONDS:
            return "cache_control: Input should be {'type': 'ephemeral', 'ttl': '5m' or '1h'}"
        if strange := mark.keys() - {"type", "ttl"}:
            return f"cache_control.ephemeral.{sorted(strange)[0]}: Extra inputs are not permitted"
        lifetimes.append(mark.get("ttl", "5m"))
    if lifetimes != sorted(lifetimes):  # "1h" before "5m"
        return "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
    return None


def _prefixes(body: Mapping[str, Any]) -> Iterator[tuple[bytes, int, str]]:
    """(digest, tokens, how long it is to be kept, or "") of the request up to each of its blocks."""
    digest = hashlib.sha256(str(body.get("model")).encode())
    size = 0
    for block in _blocks(body):
        plain = {key: value for key, value in block.items() if key != "cache_control"}
        digest.update(json.dumps(plain, sort_keys=True).encode())
        size += tokens(plain)
        mark = block.get("cache_control")
        yield digest.digest(), size, mark.get("ttl", "5m") if mark else ""


def _blocks(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All blocks of a request, in the order of the cache."""
    yield from body.get("tools", [])
    system = body.get("system", [])
    yield from [{"type": "text", "text": system}] if isinstance(system, str) and system else system or []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        yield from ({**block, "role": message["role"]} for block in blocks)
