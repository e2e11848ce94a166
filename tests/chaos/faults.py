"""What goes wrong at the vendors during a sweep: one fault of each kind after the other, some at each vendor before each kill.

The emulators count the faults that were met, so a sweep in which one never happened fails instead of proving nothing.
"""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from typing import Any

VENDORS = ("hubspot", "twilio")
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "cut_after", "method": "POST"},
    {"kind": "500", "count": 2},
    {"kind": "429", "retry_after": 1, "count": 2},
    {"kind": "cut_before", "method": "POST"},
    {"kind": "slow", "method": "POST", "seconds": 25},  # a hang: no call waits longer than 20 s for these vendors
    {"kind": "500", "method": "POST"},
    {"kind": "429"},
    {"kind": "cut_before", "method": "GET"},
)


class Vendors:
    """The emulators of a stack that runs: their addresses by name."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses
        self._next: dict[str, Iterator[dict[str, Any]]] = {}
        self.told: set[str] = set()
        for number, vendor in enumerate(VENDORS):
            half = number * len(FAULTS) // 2  # they do not suffer from the same at the same time
            self._next[vendor] = itertools.cycle(FAULTS[half:] + FAULTS[:half])

    def unlimited(self) -> None:
        """The emulators' own limits are off: this load is more than real vendors would take."""
        for vendor in VENDORS:
            self._post(vendor, "limits", {"enforced": False})

    def disturb(self) -> None:
        """The next fault for each vendor."""
        for vendor in VENDORS:
            fault = next(self._next[vendor])
            self._post(vendor, "faults", fault)
            self.told.add(_kind(fault))

    def met(self) -> dict[str, int]:
        """How many requests met each kind of fault."""
        found: dict[str, int] = {}
        for vendor in VENDORS:
            for kind, count in self._get(vendor, "faults")["met"].items():
                found[kind] = found.get(kind, 0) + count
        return found

    def problems(self) -> list[str]:
        return unmet(self.told, self.met())

    def effects(self, vendor: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(vendor, "effects")
        return found

    def _post(self, vendor: str, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self._addresses[vendor]}/_sandbox/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=60).close()

    def _get(self, vendor: str, what: str) -> Any:
        with urllib.request.urlopen(f"{self._addresses[vendor]}/_sandbox/{what}", timeout=60) as answer:
            return json.load(answer)


def unmet(told: Collection[str], met: Mapping[str, int]) -> list[str]:
    """Kinds of faults that were ordered and that no request met."""
    return [f"no request met the fault {kind}" for kind in sorted(set(told) - met.keys())]


def _kind(fault: dict[str, Any]) -> str:
    """As an emulator counts it."""
    return f"{fault['kind']} with Retry-After" if "retry_after" in fault else str(fault["kind"])
