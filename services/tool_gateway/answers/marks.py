"""Which places of a JSON value are sensitive, and the value without what stands there. Pure.

Marks are made of schemas and JSON paths (`catalogue/sensitive.py`), which may contain themselves: a table of places, each
with what its properties and elements lead to. A value is walked with all places that it may be at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Place:
    """`names`: where each described property leads, `rest`: where any other one does, `items`: where elements of a list do,
    `inside`: where everything does. Numbers are places of the table."""

    sensitive: bool = False
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rest: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    inside: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """Sensitive places below `start`. Without any, nothing is."""

    places: tuple[Place, ...] = ()
    start: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.start)

    def redacted(self, value: Any) -> tuple[Any, int]:
        """The value with REDACTED for what is sensitive, and how many values that were. The same object when none was.

        Null stays: it says that there is nothing.
        """
        return self._walked(value, self.start)

    def any_in(self, value: Any) -> bool:
        return bool(self.start) and self.redacted(value)[1] > 0

    def values(self, value: Any) -> list[str]:
        """The texts and numbers that are sensitive, as texts."""
        if not self.start:
            return []
        found: list[str] = []
        waiting: list[tuple[Any, frozenset[int], bool]] = [(value, self.start, False)]
        while waiting:
            one, at, inside = waiting.pop()
            inside = inside or self._sensitive(at)
            if isinstance(one, dict):
                waiting += [(item, self._property(at, name), inside) for name, item in one.items()]
            elif isinstance(one, list):
                waiting += [(item, self._elements(at), inside) for item in one]
            elif inside and isinstance(one, str | int | float):
                found.append(str(one))
        return found

    def hides(self, path: Iterable[str]) -> bool:
        """Whether what stands at these properties (`*` is every element) is sensitive, or in something that is."""
        at = self.start
        for part in path:
            if self._sensitive(at):
                return True
            at = self._elements(at) if part == "*" or part.isdecimal() else self._property(at, part)
        return self._sensitive(at)

    def _walked(self, value: Any, at: frozenset[int]) -> tuple[Any, int]:
        if not at or value is None:
            return value, 0
        if self._sensitive(at):
            return REDACTED, 1
        if isinstance(value, list):
            below = self._elements(at)
            found = [self._walked(item, below) for item in value] if below else []
            count = sum(number for _, number in found)
            return ([item for item, _ in found], count) if count else (value, 0)
        if isinstance(value, dict):
            made = {name: self._walked(item, self._property(at, name)) for name, item in value.items()}
            count = sum(number for _, number in made.values())
            return ({name: item for name, (item, _) in made.items()}, count) if count else (value, 0)
        return value, 0

    def _sensitive(self, at: Iterable[int]) -> bool:
        return any(self.places[one].sensitive for one in at)

    def _elements(self, at: Iterable[int]) -> frozenset[int]:
        found: set[int] = set()
        for one in at:
            found.update(self.places[one].items, self.places[one].inside)
        return frozenset(found)

    def _property(self, at: Iterable[int], name: str) -> frozenset[int]:
        found: set[int] = set()
        for one in at:
            place = self.places[one]
            found.update(place.names.get(name, place.rest), place.inside)
        return frozenset(found)


def joined(*several: Marks) -> Marks:
    """What any of them marks."""
    given = [one for one in several if one]
    if len(given) < 2:
        return given[0] if given else Marks()
    places: list[Place] = []
    start: set[int] = set()
    for one in given:
        base = len(places)
        places += [_moved(place, base) for place in one.places]
        start.update(base + number for number in one.start)
    return Marks(tuple(places), frozenset(start))


def _moved(place: Place, by: int) -> Place:
    def far(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number + by for number in numbers)

    names = {name: far(numbers) for name, numbers in place.names.items()}
    return Place(place.sensitive, names, far(place.rest), far(place.items), far(place.inside))
