"""Failed runs of automations (n8n, Make), which two agents meet: Builder hears of them, Operator goes through them.

What kind of failure one is decides what is done; the claim decides who does it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Kind = Literal["transient", "credentials", "limit", "unclear"]

CLAIMS = "automation-failure:"  # how the entities of the records begin by which one agent takes a failed run
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("limit", re.compile(r"quota|\b402\b|plan limit|out of (?:operations|credits)|operations limit")),
    (
        "transient",
        re.compile(r"timed?[ -]?out|\b(?:429|502|503|504)\b|econn(?:reset|refused)|rate.?limit|socket hang ?up"),
    ),
    (
        "credentials",
        re.compile(r"\b(?:401|403)\b|unauthori[sz]ed|forbidden|invalid credentials?|(?:token|key) (?:has )?expired"),
    ),
)
MEANING: Mapping[Kind, str] = {
    "transient": "the other side did not answer in time, or asks to be left alone for a while",
    "credentials": "its credentials are refused: renew them",
    "limit": "a plan's limit is used up",
    "unclear": "no rule knows why",
}


def kind_of(message: str) -> Kind:
    """By what the failed run said, in any case."""
    return next((kind for kind, pattern in _KINDS if pattern.search(message.lower())), "unclear")


def claim_of(system: str, execution: str) -> str:
    """The entity under which a failed run is claimed."""
    return f"{CLAIMS}{system.lower()}:{execution}"
