"""A described API: where its document is, and what its tools would be called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

_URL = re.compile(r"https?://[^\s\"'<>]+[\w/]")
_WORDS = re.compile(r"\b(?:api|openapi|swagger)\b", re.IGNORECASE)
_DOCUMENT = re.compile(r"openapi|swagger|api-?docs|\.(?:json|ya?ml)$", re.IGNORECASE)
_CALLED = re.compile(r"\b(?:as|called|named) [\"'“]?(?!(?:an?|the|tools?)\b)([a-z][a-z0-9_-]{0,30})\b")
_COMMON = frozenset(
    {"www", "api", "docs", "developer", "developers", "com", "net", "org", "io", "dev", "co", "example"}
)


class Api(BaseModel):
    """An API somebody wants tools of."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    url: str = Field(pattern=r"^https?://\S+$", max_length=2000)


def api_of(instruction: str, context: Mapping[str, Any]) -> Api | None:
    """The API of a task: of its facts (`api`: url, name), or of words that name an API and its document."""
    given = context.get("api")
    if isinstance(given, Mapping):
        url = str(given.get("url", ""))
        return _made(str(given.get("name") or name_for(url)), url)
    found = next((url for url in _URL.findall(instruction) if _DOCUMENT.search(url)), None)
    if found is None or not _WORDS.search(instruction):
        return None
    named = _CALLED.search(instruction)
    return _made(named[1] if named else name_for(found), found)


def name_for(url: str) -> str:
    """By its host: https://api.shop.example.com → shop."""
    labels = (urlsplit(url).hostname or "").split(".")
    own = next((label for label in labels if label not in _COMMON and label[:1].isalpha()), "api")
    return re.sub(r"[^a-z0-9_-]", "", own)[:31] or "api"


def told(draft: Mapping[str, Any]) -> str:
    """What a person decides on: the tools, what they need, and the command that grants them."""
    tools = draft.get("tools") or []
    lines = [f"{one['tool']}: {one['method'].upper()} {one['path']} ({one['effect']})" for one in tools[:20]]
    more = [f"… and {draft['count'] - 20} more"] if draft["count"] > 20 else []
    settings = f"Settings they need: {', '.join(draft['settings'])}." if draft.get("settings") else ""
    left = f"{len(draft['skipped'])} operations cannot be used." if draft.get("skipped") else ""
    grant = f"Nobody may use them yet. To grant them: viox tools import {draft['source']} --name {draft['name']} --grant AGENT"
    return "\n".join(part for part in (*lines, *more, left, settings, grant) if part)


def _made(name: str, url: str) -> Api | None:
    try:
        return Api(name=name, url=url)
    except ValidationError:
        return None
